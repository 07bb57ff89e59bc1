//! The order in which entries leave L1: S3-FIFO, with a list of its own for "no such row".
//!
//! New entries enter a small list (a tenth of the budget). Who was hit there moves to the main list,
//! who was not leaves and is remembered by its hash alone; who comes back while remembered enters
//! the main list at once. So a scan washes through the small list and leaves the rest alone.
//! Nodes live in a slab and are doubly linked: every step but a sweep is O(1).
//!
//! Invariant: only the filling side comes here, under L1's lock; a hit never does.

use std::collections::{HashMap, VecDeque};

use super::Key;

/// No node.
const NONE: u32 = u32::MAX;
/// Fewest hashes remembered of entries that left.
const GHOST_COUNT_MIN: usize = 1024;

/// Which list an entry is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// New.
    Small,
    /// Hit at least once.
    Main,
    /// "No such row".
    Negative,
}

/// One entry's place.
#[derive(Debug)]
struct Node {
    /// `None`: the node is free.
    key: Option<Key>,
    bytes: u64,
    queue: Queue,
    previous: u32,
    next: u32,
}

/// Memory of a node, in bytes.
pub(super) const NODE_BYTES: usize = size_of::<Node>();

/// The lists.
#[derive(Debug)]
pub(super) struct Order {
    nodes: Vec<Node>,
    /// First free node; they are linked by `next`.
    free: u32,
    small: List,
    main: List,
    negative: List,
    ghost: Ghost,
}

#[derive(Debug)]
struct List {
    oldest: u32,
    newest: u32,
    count: usize,
    bytes: u64,
}

impl List {
    const EMPTY: Self = Self { oldest: NONE, newest: NONE, count: 0, bytes: 0 };
}

impl Order {
    pub(super) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
            small: List::EMPTY,
            main: List::EMPTY,
            negative: List::EMPTY,
            ghost: Ghost::default(),
        }
    }

    /// Entries on all lists.
    pub(super) fn count(&self) -> usize {
        self.small.count + self.main.count + self.negative.count
    }

    /// Their bytes, without the JSON that was made later.
    pub(super) fn bytes(&self) -> u64 {
        self.small.bytes + self.main.bytes + self.negative.bytes
    }

    /// Bytes of one list.
    pub(super) fn bytes_of(&self, queue: Queue) -> u64 {
        self.list(queue).bytes
    }

    /// Takes an entry in as the newest of a list; returns its node. `None`: 2^32 - 1 are there.
    pub(super) fn add(&mut self, key: Key, bytes: u64, queue: Queue) -> Option<u32> {
        let node = Node { key: Some(key), bytes, queue, previous: NONE, next: NONE };
        let index = if let Some(free) = self.nodes.get_mut(self.free as usize) {
            let index = self.free;
            self.free = free.next;
            *free = node;
            index
        } else {
            let index = u32::try_from(self.nodes.len()).ok().filter(|index| *index != NONE)?;
            self.nodes.push(node);
            index
        };
        self.link(index);
        Some(index)
    }

    /// Takes an entry out; its node is free after.
    pub(super) fn remove(&mut self, index: u32) {
        self.unlink(index);
        let free = self.free;
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.key = None;
            node.next = free;
            self.free = index;
        }
    }

    /// Makes an entry the newest of a list.
    pub(super) fn shift(&mut self, index: u32, queue: Queue) {
        self.unlink(index);
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.queue = queue;
        }
        self.link(index);
    }

    /// The oldest entry of a list.
    pub(super) fn oldest(&self, queue: Queue) -> Option<(u32, &Key)> {
        let index = self.list(queue).oldest;
        let node = self.nodes.get(index as usize)?;
        node.key.as_ref().map(|key| (index, key))
    }

    /// Which list an entry is on.
    pub(super) fn queue_of(&self, index: u32) -> Option<Queue> {
        self.nodes.get(index as usize).map(|node| node.queue)
    }

    /// The entry at a place of the slab, for a sweep over all of them.
    pub(super) fn at(&self, index: u32) -> Option<&Key> {
        self.nodes.get(index as usize)?.key.as_ref()
    }

    /// Places of the slab, free ones too.
    pub(super) fn place_count(&self) -> usize {
        self.nodes.len()
    }

    /// Remembers the hash of an entry that left the small list without a hit.
    pub(super) fn remember(&mut self, hash: u64) {
        let room = self.main.count.max(GHOST_COUNT_MIN);
        self.ghost.add(hash, room);
    }

    /// Whether the hash is remembered; it is not after.
    pub(super) fn recall(&mut self, hash: u64) -> bool {
        self.ghost.marks.remove(&hash).is_some()
    }

    fn list(&self, queue: Queue) -> &List {
        match queue {
            Queue::Small => &self.small,
            Queue::Main => &self.main,
            Queue::Negative => &self.negative,
        }
    }

    fn list_mut(&mut self, queue: Queue) -> &mut List {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
            Queue::Negative => &mut self.negative,
        }
    }

    fn link(&mut self, index: u32) {
        let Some(node) = self.nodes.get(index as usize) else { return };
        let (queue, bytes) = (node.queue, node.bytes);
        let list = self.list_mut(queue);
        let previous = std::mem::replace(&mut list.newest, index);
        list.count += 1;
        list.bytes += bytes;
        if previous == NONE {
            list.oldest = index;
        }
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.previous = previous;
            node.next = NONE;
        }
        if let Some(before) = self.nodes.get_mut(previous as usize) {
            before.next = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(node) = self.nodes.get(index as usize) else { return };
        let (queue, bytes, previous, next) = (node.queue, node.bytes, node.previous, node.next);
        let list = self.list_mut(queue);
        list.count -= 1;
        list.bytes -= bytes;
        if previous == NONE {
            list.oldest = next;
        }
        if next == NONE {
            list.newest = previous;
        }
        if let Some(before) = self.nodes.get_mut(previous as usize) {
            before.next = next;
        }
        if let Some(after) = self.nodes.get_mut(next as usize) {
            after.previous = previous;
        }
    }
}

/// Hashes of entries that left.
#[derive(Debug, Default)]
struct Ghost {
    /// Hash to the number of its newest mention in `mentions`.
    marks: HashMap<u64, u64>,
    mentions: VecDeque<(u64, u64)>,
    number: u64,
}

impl Ghost {
    fn add(&mut self, hash: u64, room: usize) {
        self.number += 1;
        self.marks.insert(hash, self.number);
        self.mentions.push_back((hash, self.number));
        while self.mentions.len() > room {
            let Some((oldest, number)) = self.mentions.pop_front() else { return };
            if self.marks.get(&oldest) == Some(&number) {
                self.marks.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::key;

    fn drain(order: &mut Order, queue: Queue) -> Vec<Key> {
        let mut keys = Vec::new();
        while let Some((index, key)) = order.oldest(queue) {
            keys.push(key.clone());
            order.remove(index);
        }
        keys
    }

    #[test]
    fn entries_leave_a_list_oldest_first_and_count_their_bytes() {
        let mut order = Order::new();
        for name in ["a", "b", "c"] {
            order.add(key(name), 10, Queue::Small).unwrap();
        }
        assert_eq!((order.count(), order.bytes()), (3, 30));
        assert_eq!(drain(&mut order, Queue::Small), [key("a"), key("b"), key("c")]);
        assert_eq!((order.count(), order.bytes()), (0, 0));
    }

    #[test]
    fn entry_taken_from_the_middle_or_shifted_leaves_the_rest_in_order() {
        let mut order = Order::new();
        let places: Vec<u32> = ["a", "b", "c", "d"]
            .iter()
            .map(|name| order.add(key(name), 1, Queue::Small).unwrap())
            .collect();
        order.remove(places[1]);
        order.shift(places[0], Queue::Main);
        order.shift(places[2], Queue::Small);
        assert_eq!(order.queue_of(places[0]), Some(Queue::Main));
        assert_eq!(order.add(key("e"), 1, Queue::Small), Some(places[1]));
        assert_eq!(drain(&mut order, Queue::Small), [key("d"), key("c"), key("e")]);
        assert_eq!(drain(&mut order, Queue::Main), [key("a")]);
    }

    #[test]
    fn ghost_forgets_the_oldest_and_gives_a_hash_once() {
        let mut order = Order::new();
        for hash in 0..=(GHOST_COUNT_MIN as u64) {
            order.remember(hash);
        }
        assert!(!order.recall(0));
        assert!(order.recall(1));
        assert!(!order.recall(1));
        assert!(order.recall(GHOST_COUNT_MIN as u64));
    }
}

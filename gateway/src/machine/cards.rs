//! Network cards: on how many CPUs their work is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::read::{Seen, cpu_count, entries, name_of, words};

/// The cards, without what is made of software.
fn cards(root: &Path) -> Vec<PathBuf> {
    let mut cards = entries(&root.join("sys/class/net"));
    cards.retain(|card| card.join("device").exists());
    cards
}

/// Receive queues of each card. One for four CPUs will do, or packets that are handed on to other CPUs.
pub(super) fn queues(root: &Path) -> Seen {
    let cpus = cpu_count(root);
    let mut seen = Seen { text: String::new(), is_spread: true };
    for card in cards(root) {
        let queues = entries(&card.join("queues"));
        let queues: Vec<_> =
            queues.iter().filter(|path| name_of(path).starts_with("rx-")).collect();
        if queues.is_empty() {
            continue;
        }
        let is_steered = |queue: &&PathBuf| {
            let mask = words(&queue.join("rps_cpus")).unwrap_or_default();
            mask.contains(|digit| digit != '0' && digit != ',')
        };
        let is_steered = queues.iter().all(is_steered);
        seen.is_spread &= queues.len() * 4 >= cpus || is_steered;
        let (name, count) = (name_of(&card), queues.len());
        let steering = if is_steered { "yes" } else { "no" };
        add(&mut seen.text, &format!("{name} {count} for {cpus} CPUs, steering {steering}"));
    }
    seen
}

/// Interrupts of each card, and how many sets of CPUs take them. Up to two are one queue's.
pub(super) fn interrupts(root: &Path) -> Seen {
    let cpus = cpu_count(root);
    let mut seen = Seen { text: String::new(), is_spread: true };
    for card in cards(root) {
        let own = card.join("device/msi_irqs");
        // A virtual card's are those of the device around it.
        let folder = if own.is_dir() { own } else { card.join("device/../msi_irqs") };
        let lists = entries(&folder).into_iter().filter_map(|irq| {
            let irq = root.join("proc/irq").join(name_of(&irq));
            let effective = irq.join("effective_affinity_list");
            let file = if effective.is_file() { effective } else { irq.join("smp_affinity_list") };
            words(&file)
        });
        let lists: Vec<String> = lists.collect();
        if lists.is_empty() {
            continue;
        }
        let (count, places) = (lists.len(), lists.iter().collect::<BTreeSet<_>>().len());
        seen.is_spread &= count <= 2 || places > 1 || cpus == 1;
        add(&mut seen.text, &format!("{} {count} in {places} places", name_of(&card)));
    }
    seen
}

fn add(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A machine of eight CPUs whose card has the given queues' masks and interrupts' CPUs.
    fn machine(masks: &[&str], irqs: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: String, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/devices/system/cpu/online".into(), "0-7\n");
        write("sys/class/net/lo/queues/rx-0/rps_cpus".into(), "0\n");
        write("sys/class/net/eth0/queues/tx-0/xps_cpus".into(), "0\n");
        fs::create_dir_all(root.path().join("sys/class/net/eth0/device/msi_irqs")).unwrap();
        for (index, mask) in masks.iter().enumerate() {
            write(format!("sys/class/net/eth0/queues/rx-{index}/rps_cpus"), mask);
        }
        for (index, cpus) in irqs.iter().enumerate() {
            write(format!("sys/class/net/eth0/device/msi_irqs/{index}"), "msix\n");
            write(format!("proc/irq/{index}/smp_affinity_list"), cpus);
        }
        root
    }

    #[test]
    fn one_queue_for_eight_cpus_is_too_few_unless_it_is_steered() {
        let of = |masks: &[&str]| {
            let seen = queues(machine(masks, &[]).path());
            (seen.text, seen.is_spread)
        };
        let text = |count, steering| format!("eth0 {count} for 8 CPUs, steering {steering}");
        assert_eq!(of(&["00"]), (text(1, "no"), false));
        assert_eq!(of(&["00000000,000000ff"]), (text(1, "yes"), true));
        assert_eq!(of(&["00", "00"]), (text(2, "no"), true));
        assert_eq!(of(&["ff", "00"]), (text(2, "no"), true));
        assert_eq!(of(&[]), (String::new(), true));
    }

    #[test]
    fn interrupts_of_several_queues_on_one_cpu_are_not_spread() {
        let of = |irqs: &[&str]| {
            let seen = interrupts(machine(&[], irqs).path());
            (seen.text, seen.is_spread)
        };
        assert_eq!(of(&["0", "0"]), ("eth0 2 in 1 places".into(), true));
        assert_eq!(of(&["0", "0", "0"]), ("eth0 3 in 1 places".into(), false));
        assert_eq!(of(&["0", "1", "0"]), ("eth0 3 in 2 places".into(), true));
        assert_eq!(of(&[]), (String::new(), true));
    }
}

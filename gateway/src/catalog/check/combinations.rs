//! The shapes that a template can take: what must be prepared to say that all of it works.

use crate::catalog::{Piece, Plan, Shape, Template, Type};

/// Most subsets of optional lines that are all tried.
const SUBSET_COUNT_MAX: usize = 64;

/// Every combination of optional lines up to 64, else so many that each pair of lines is seen together,
/// apart, and without each other; with every order, and at the first and a later page. Lists have two items.
///
/// - `plan`: of one of the template's statements.
pub fn combinations(template: &Template, plan: &Plan) -> Vec<Shape> {
    let mut always = 0;
    for (index, slot) in template.slots.iter().enumerate() {
        if slot.required {
            always |= bit(index);
        }
    }
    let lines: Vec<u64> = plan
        .pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Optional { slots, .. } => {
                Some(slots.iter().fold(0, |mask, slot| mask | bit(*slot)))
            }
            _ => None,
        })
        .collect();
    let mut masks: Vec<u64> = subsets(&lines).into_iter().map(|mask| mask | always).collect();
    masks.sort_unstable();
    masks.dedup();
    let lists: Vec<(usize, usize)> = template
        .slots
        .iter()
        .enumerate()
        .filter(|(_, slot)| matches!(slot.ty, Type::List(_)))
        .map(|(index, _)| (index, 2))
        .collect();
    let order_count = plan.orders.len().max(1);
    let seeks: &[bool] = if plan.paged { &[false, true] } else { &[false] };
    let mut shapes = Vec::with_capacity(masks.len() * order_count * seeks.len());
    for given in masks {
        for order in 0..order_count {
            for seek in seeks {
                let list_lens = lists.iter().copied().collect();
                shapes.push(Shape { given, list_lens, order, seek: *seek });
            }
        }
    }
    shapes
}

fn bit(index: usize) -> u64 {
    u32::try_from(index).ok().and_then(|index| 1_u64.checked_shl(index)).unwrap_or(0)
}

fn subsets(lines: &[u64]) -> Vec<u64> {
    let all = lines.iter().fold(0, |mask, line| mask | line);
    let count = u32::try_from(lines.len()).ok().and_then(|lines| 1_usize.checked_shl(lines));
    if let Some(count) = count.filter(|count| *count <= SUBSET_COUNT_MAX) {
        let subset = |chosen: usize| {
            let taken = lines.iter().enumerate().filter(|(index, _)| chosen >> index & 1 == 1);
            taken.fold(0, |mask, (_, line)| mask | line)
        };
        return (0..count).map(subset).collect();
    }
    // None, all, each alone, all but each: for any two lines that is both, neither, and each without the other.
    let mut masks = vec![0, all];
    for (index, line) in lines.iter().enumerate() {
        masks.push(*line);
        let others = lines.iter().enumerate().filter(|(other, _)| *other != index);
        masks.push(others.fold(0, |mask, (_, line)| mask | line));
    }
    masks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_lines_give_every_subset_and_seven_every_pair() {
        let lines: Vec<u64> = (0..7).map(|line| 1 << line).collect();
        assert_eq!(subsets(&[]), [0]);
        assert_eq!(subsets(&lines[..6]).len(), 64);
        let masks = subsets(&lines);
        assert_eq!(masks.len(), 16);
        for a in &lines {
            for b in lines.iter().filter(|b| *b != a) {
                for (has_a, has_b) in [(true, true), (true, false), (false, true), (false, false)] {
                    let seen = |mask: &u64| (mask & a != 0) == has_a && (mask & b != 0) == has_b;
                    assert!(masks.iter().any(seen), "{a} {b} {has_a} {has_b}");
                }
            }
        }
    }
}

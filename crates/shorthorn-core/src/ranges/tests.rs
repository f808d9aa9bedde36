use std::collections::BTreeSet;

use proptest::prelude::*;

use super::Ranges;

/// The rule, said naively: a request runs when no earlier one that is still inside conflicts with it.
#[derive(Default)]
struct Naive {
    inside: Vec<(u32, u64, u64, bool)>,
}

impl Naive {
    fn running(&self) -> BTreeSet<u32> {
        let conflicts = |one: &(u32, u64, u64, bool), other: &(u32, u64, u64, bool)| {
            (one.3 || other.3) && one.1 < other.2 && other.1 < one.2
        };
        let numbered = self.inside.iter().enumerate();
        numbered
            .filter(|(at, one)| !self.inside[..*at].iter().any(|other| conflicts(one, other)))
            .map(|(_, one)| one.0)
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Enter(u64, u64, bool),
    /// One of those inside, running or not.
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..12u64, 1..5u64, any::<bool>())
            .prop_map(|(first, length, changes)| Step::Enter(first, first + length, changes)),
        2 => any::<usize>().prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn it_lets_run_what_the_naive_rule_lets_run(steps in steps()) {
        let mut ranges = Ranges::default();
        let mut naive = Naive::default();
        let mut running = BTreeSet::new();
        let mut ready = Vec::new();
        for (key, step) in (0u32..).zip(steps) {
            match step {
                Step::Enter(first, end, changes) => {
                    naive.inside.push((key, first, end, changes));
                    if ranges.enter(key, first, end, changes) {
                        running.insert(key);
                    }
                }
                Step::Leave(which) if !naive.inside.is_empty() => {
                    let gone = naive.inside.remove(which % naive.inside.len()).0;
                    running.remove(&gone);
                    ranges.leave(gone, &mut ready);
                    prop_assert!(ready.is_sorted(), "in the order of arrival");
                    for key in ready.drain(..) {
                        prop_assert!(running.insert(key), "it ran already");
                    }
                }
                Step::Leave(_) => {}
            }
            prop_assert_eq!(&running, &naive.running());
        }
    }
}

#[test]
fn a_waiting_writer_is_not_overtaken_by_later_readers() {
    let mut ranges = Ranges::default();
    assert!(ranges.enter(1, 0, 4, false));
    assert!(!ranges.enter(2, 2, 3, true));
    assert!(!ranges.enter(3, 0, 4, false));
    let mut ready = Vec::new();
    ranges.leave(1, &mut ready);
    assert_eq!(ready, [2]);
    ready.clear();
    ranges.leave(2, &mut ready);
    assert_eq!(ready, [3]);
}

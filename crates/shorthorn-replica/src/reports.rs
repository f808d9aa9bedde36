//! What the agent is to be told: answers to its orders, the tasks, and that some replica changed what it is.
//!
//! Answers are queued. Of tasks and replicas only the newest state counts, so those are flags and the sender decides
//! when; nothing is lost and nothing grows while the agent is away.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shorthorn_wire::agent::{Held, TaskState, ToAgent};

use crate::program::Stopping;

/// Between two unasked lists of replicas.
const LIST_GAP: Duration = Duration::from_millis(500);
/// Between two reports of tasks under way.
const TASK_GAP: Duration = Duration::from_millis(250);
/// Answers that wait for a link that takes none.
const ANSWERS_MAX: usize = 1024;
/// Tasks that are over and remembered.
const OVER_MAX: usize = 64;

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were looked at.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// What comes next.
    pub state: TaskState,
}

#[derive(Debug, Default)]
struct State {
    /// Counts links; a sender of an older one ends.
    link: u64,
    up: bool,
    answers: VecDeque<ToAgent>,
    replicas_changed: bool,
    tasks: BTreeMap<String, Progress>,
    /// Not told yet.
    news: BTreeSet<String>,
    /// In the order in which they ended.
    over: VecDeque<String>,
    told_list: Option<Instant>,
    told_tasks: Option<Instant>,
}

/// Shared by all that happens and the link.
#[derive(Debug, Default)]
pub struct Reports {
    state: Mutex<State>,
    wake: Condvar,
    stopping: Option<Arc<Stopping>>,
}

/// What to send next.
#[derive(Debug)]
pub enum Next {
    /// This.
    Line(ToAgent),
    /// The list of replicas.
    List,
    /// Nothing any more: the link is over.
    Over,
}

impl Reports {
    /// Nothing to tell yet. Who waits for the end of the last session hears of changes too.
    pub fn new(stopping: Arc<Stopping>) -> Self {
        Self {
            stopping: Some(stopping),
            ..Self::default()
        }
    }

    /// Some replica changed what it is. May be called under the replica's lock.
    pub fn replicas_changed(&self) {
        self.lock().replicas_changed = true;
        self.wake.notify_all();
        if let Some(stopping) = &self.stopping {
            stopping.look();
        }
    }

    /// A task got on. The same again is no news.
    pub fn task(&self, task: &str, progress: Progress) {
        let mut state = self.lock();
        if state.tasks.get(task) == Some(&progress) {
            return;
        }
        if matches!(
            progress.state,
            TaskState::Finished | TaskState::Failed { .. }
        ) {
            state.over.retain(|known| known != task);
            state.over.push_back(task.to_owned());
            if state.over.len() > OVER_MAX {
                if let Some(oldest) = state.over.pop_front() {
                    state.tasks.remove(&oldest);
                    state.news.remove(&oldest);
                }
            }
        }
        state.tasks.insert(task.to_owned(), progress);
        state.news.insert(task.to_owned());
        self.wake.notify_all();
    }

    /// What was told of a task last.
    pub fn known(&self, task: &str) -> Option<Progress> {
        self.lock().tasks.get(task).cloned()
    }

    /// Tell it again, unchanged.
    pub fn repeat(&self, task: &str) {
        let mut state = self.lock();
        if state.tasks.contains_key(task) {
            state.news.insert(task.to_owned());
        }
        self.wake.notify_all();
    }

    /// An answer to an order. False: too many wait, the link must end.
    pub fn answer(&self, id: u64, error: Option<String>, replicas: Vec<Held>) -> bool {
        self.lock().queue_answer(&self.wake, id, error, replicas)
    }

    /// The number of the newest link: the one that brings orders now.
    pub fn link(&self) -> u64 {
        self.lock().link
    }

    /// An answer that comes later than its order's turn. The ids of an order mean something on its link only: on a newer one
    /// nobody waits for it, and whoever still wants it orders it again. False: dropped.
    pub fn answer_later(
        &self,
        link: u64,
        id: u64,
        error: Option<String>,
        replicas: Vec<Held>,
    ) -> bool {
        let mut state = self.lock();
        let waited_for = state.up && state.link == link;
        waited_for && state.queue_answer(&self.wake, id, error, replicas)
    }

    /// A link stands; returns its number. The agent asks for a list after the hello, and hears of all tasks again.
    pub fn link_up(&self) -> u64 {
        let mut state = self.lock();
        state.link += 1;
        state.up = true;
        state.answers.clear();
        state.replicas_changed = false;
        state.news = state.tasks.keys().cloned().collect();
        state.link
    }

    /// The link has ended.
    pub fn link_down(&self) {
        self.lock().up = false;
        self.wake.notify_all();
    }

    /// Waits for what link number `link` is to send.
    pub fn next(&self, link: u64) -> Next {
        let mut state = self.lock();
        loop {
            if !state.up || state.link != link {
                return Next::Over;
            }
            if let Some(answer) = state.answers.pop_front() {
                return Next::Line(answer);
            }
            if let Some(line) =
                state.take_task(|progress| !matches!(progress.state, TaskState::Running))
            {
                return Next::Line(line);
            }
            let now = Instant::now();
            let tasks_at = state.told_tasks.map_or(now, |told| told + TASK_GAP);
            let list_at = state.told_list.map_or(now, |told| told + LIST_GAP);
            if !state.news.is_empty() && tasks_at <= now {
                if let Some(line) = state.take_task(|_| true) {
                    if state.news.is_empty() {
                        state.told_tasks = Some(now);
                    }
                    return Next::Line(line);
                }
            }
            if state.replicas_changed && list_at <= now {
                state.replicas_changed = false;
                state.told_list = Some(now);
                return Next::List;
            }
            let until = [
                (!state.news.is_empty(), tasks_at),
                (state.replicas_changed, list_at),
            ];
            let until = until
                .into_iter()
                .filter(|(due, _)| *due)
                .map(|(_, at)| at)
                .min();
            state = match until {
                None => self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let wait = at.saturating_duration_since(now);
                    self.wake
                        .wait_timeout(state, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue_answer(
        &mut self,
        wake: &Condvar,
        id: u64,
        error: Option<String>,
        replicas: Vec<Held>,
    ) -> bool {
        if self.answers.len() >= ANSWERS_MAX {
            return false;
        }
        self.answers.push_back(ToAgent::Result {
            id,
            error,
            replicas,
        });
        wake.notify_all();
        true
    }

    /// The first task with news for which this holds, as a line.
    fn take_task(&mut self, wanted: impl Fn(&Progress) -> bool) -> Option<ToAgent> {
        let fits = |task: &&String| self.tasks.get(*task).is_some_and(&wanted);
        let task = self.news.iter().find(fits)?.clone();
        self.news.remove(&task);
        let Progress { done, total, state } = self.tasks.get(&task)?.clone();
        Some(ToAgent::Task {
            task,
            done,
            total,
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(done: u64) -> Progress {
        Progress {
            done,
            total: 9,
            state: TaskState::Running,
        }
    }

    #[test]
    fn only_the_newest_state_of_a_task_is_told_and_not_too_often() {
        let reports = Reports::default();
        let link = reports.link_up();
        reports.task("t", running(1));
        reports.task("t", running(2));
        let started = Instant::now();
        assert!(matches!(
            reports.next(link),
            Next::Line(ToAgent::Task { done: 2, .. })
        ));
        reports.task("t", running(3));
        assert!(matches!(
            reports.next(link),
            Next::Line(ToAgent::Task { done: 3, .. })
        ));
        assert!(started.elapsed() >= TASK_GAP);
        reports.task(
            "t",
            Progress {
                state: TaskState::Finished,
                ..running(9)
            },
        );
        let Next::Line(ToAgent::Task { state, .. }) = reports.next(link) else {
            panic!("a task")
        };
        assert_eq!(state, TaskState::Finished);
    }

    #[test]
    fn lists_are_thinned_out_and_the_last_change_is_not_lost() {
        let reports = Reports::default();
        let link = reports.link_up();
        let started = Instant::now();
        reports.replicas_changed();
        assert!(matches!(reports.next(link), Next::List));
        reports.replicas_changed();
        reports.replicas_changed();
        assert!(matches!(reports.next(link), Next::List));
        assert!(started.elapsed() >= LIST_GAP);
        assert!(reports.answer(7, None, Vec::new()));
        assert!(matches!(
            reports.next(link),
            Next::Line(ToAgent::Result { id: 7, .. })
        ));
    }

    #[test]
    fn a_new_link_hears_of_all_tasks_and_the_old_one_ends() {
        let reports = Reports::default();
        let old = reports.link_up();
        reports.task("t", running(1));
        assert!(matches!(reports.next(old), Next::Line(_)));
        reports.link_down();
        assert!(matches!(reports.next(old), Next::Over));
        let new = reports.link_up();
        assert!(matches!(
            reports.next(new),
            Next::Line(ToAgent::Task { done: 1, .. })
        ));
        assert!(matches!(reports.next(old), Next::Over));
    }

    #[test]
    fn a_late_answer_is_given_on_its_own_link_only() {
        let reports = Reports::default();
        let old = reports.link_up();
        assert!(reports.answer_later(old, 1, None, Vec::new()));
        reports.link_down();
        assert!(!reports.answer_later(old, 2, None, Vec::new()));
        let new = reports.link_up();
        assert!(!reports.answer_later(old, 3, None, Vec::new()));
        assert!(reports.answer_later(new, 4, None, Vec::new()));
        let Next::Line(ToAgent::Result { id, .. }) = reports.next(new) else {
            panic!("an answer")
        };
        assert_eq!(id, 4);
    }

    #[test]
    fn a_link_that_takes_no_answers_does_not_grow() {
        let reports = Reports::default();
        reports.link_up();
        assert!((0..ANSWERS_MAX as u64).all(|id| reports.answer(id, None, Vec::new())));
        assert!(!reports.answer(9, None, Vec::new()));
    }
}

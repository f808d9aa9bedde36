//! What the core says, done: the second half of a round.

use std::io;

use shorthorn_core::ReplicaIndex;
use shorthorn_core::engine::{Effect, Status};
use shorthorn_wire::agent::{Ask, ToAgent};

use super::{End, LISTENER, Session};
use crate::log;
use crate::peer::News;

impl Session {
    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Send {
                replica,
                tag,
                request,
            } => self.peers.send(replica, tag, &request),
            Effect::Answer {
                client,
                cookie,
                result,
            } => {
                // One that has gone does not hear it.
                if let Some(client) = self.clients.find(client) {
                    client.answer(cookie, result);
                }
            }
            Effect::WakeAt(time) => self.timer = Some(time),
            Effect::Dial { replica, address } => {
                self.peers
                    .dial(replica, &address, self.now, self.poll.registry());
            }
            Effect::HangUp { replica } => self.peers.get(replica).hang_up(),
            Effect::Ask { id, ask } => {
                self.listen_for(&ask);
                if self.agent.is_up() {
                    log::info("asks the record", &[("id", &id), ("ask", &json(&ask))]);
                }
                self.agent.say(&ToAgent::Ask { id, ask });
            }
            Effect::Serve { endpoint } => self.serve(&endpoint),
            Effect::StopServing { break_clients } => {
                log::info("stops serving", &[("break_clients", &break_clients)]);
                self.clients.stop_serving(break_clients);
                self.status.tell_now();
            }
            Effect::Status(status) => self.note_status(status),
            Effect::Exit { clean, why } => self.note_exit(clean, &why),
        }
    }

    /// Lets clients come before the record says that the session is open; one that turns out broken sends them away.
    fn listen_for(&mut self, ask: &Ask) {
        let Ask::SessionOpened { endpoint, .. } = ask else {
            return;
        };
        if let Err(error) = self.clients.listen(endpoint) {
            self.give_up_serving(endpoint, &error);
        }
    }

    fn serve(&mut self, endpoint: &str) {
        match self.clients.serve(endpoint, self.poll.registry(), LISTENER) {
            Ok(()) => log::info("serves", &[("endpoint", &endpoint)]),
            Err(error) => self.give_up_serving(endpoint, &error),
        }
    }

    fn give_up_serving(&mut self, endpoint: &str, error: &io::Error) {
        log::error("can't serve", &[("endpoint", &endpoint), ("why", error)]);
        self.unservable = true;
    }

    fn note_status(&mut self, status: Status) {
        if self.status.note(status.clone()) {
            let waits_for = status.waits_for.as_deref().unwrap_or("nothing");
            let phase = json(&status.phase);
            let fields: [log::Field<'_>; 3] = [
                ("phase", &phase.trim_matches('"')),
                ("waits_for", &waits_for),
                ("needed", &status.needed.join(",")),
            ];
            log::info("status", &fields);
        }
    }

    /// At most once a round, and only while it can arrive.
    pub(super) fn tell_status(&mut self) {
        if self.agent.is_up() {
            if let Some(line) = self.status.due(self.now, self.clients.count()) {
                self.agent.say(&line);
            }
        }
    }

    fn note_exit(&mut self, clean: bool, why: &str) {
        let level = if clean {
            log::Level::Info
        } else {
            log::Level::Error
        };
        log::line(level, "session ends", &[("clean", &clean), ("why", &why)]);
        self.clients.stop_serving(false);
        self.exit = Some(End { clean });
    }

    pub(super) fn log_news(&mut self, replica: ReplicaIndex, news: &News) {
        let target = self.core.target(replica);
        let who: [log::Field<'_>; 2] = [("replica", &target.replica), ("node", &target.node)];
        if self.logged.len() <= replica.index() {
            self.logged.resize(replica.index() + 1, None);
        }
        let last = &mut self.logged[replica.index()];
        match news {
            News::Connected => {
                *last = None;
                log::info("replica connected", &who);
            }
            News::Disconnected(why) => {
                log::warn("replica disconnected", &[who[0], who[1], ("why", why)]);
            }
            // Dialled again and again while it is away: said once.
            News::Unreachable(why) if last.as_ref() == Some(why) => {}
            News::Unreachable(why) => {
                log::warn("replica unreachable", &[who[0], who[1], ("why", why)]);
                *last = Some(why.clone());
            }
        }
    }
}

/// For the log: the words of the wire.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

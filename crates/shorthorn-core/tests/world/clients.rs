//! Clients: what they ask the engine that serves, and what the answers mean to the judge.

use shorthorn_core::engine::{ClientAnswer, ClientError, ClientId, ClientOp, ClientRequest, Event};
use shorthorn_wire::BLOCK_BYTES;

use super::node::{content_of, value_of};
use super::{BLOCKS, Calling, Violation, World};

const BLOCK: u64 = BLOCK_BYTES as u64;

impl World {
    /// Clients of an engine get no answers any more.
    pub(super) fn abandon_clients(&mut self, actor: u64) {
        for index in 0..self.clients.len() {
            let Some(calling) = self.clients[index].take_if(|calling| calling.actor == actor)
            else {
                continue;
            };
            if matches!(calling.kind, ClientOp::Read | ClientOp::Flush) {
                for block in &calling.blocks {
                    self.register(*block).forget(calling.op);
                }
            }
        }
    }

    pub(super) fn register(&mut self, block: u64) -> &mut super::Register {
        self.registers.get_mut(&block).expect("a known block")
    }

    /// A client that waits for nothing asks the engine that serves.
    pub(super) fn call(&mut self, client: usize) -> Result<(), Violation> {
        let serving = self.actors.iter().filter(|(_, actor)| actor.serving);
        let serving: Vec<(u64, u64)> = serving.map(|(id, actor)| (*id, actor.epoch)).collect();
        if serving.is_empty() || self.clients[client].is_some() {
            return Ok(());
        }
        let (actor, epoch) = *self.rng.pick(&serving);
        // An engine whose time is over can do nothing any more: its writes are not even possible.
        let over = epoch < self.record.opened_epoch;
        let start = self.rng.below(self.chances.hot);
        let first = BLOCKS[start];
        let next = BLOCKS.get(start + 1).filter(|next| **next == first + 1);
        let mut blocks: Vec<u64> = vec![first];
        if self.rng.one_in(3) {
            blocks.extend(next);
        }
        let op = self.id();
        let fua = self.rng.one_in(6);
        self.stats.calls_in_quiet += usize::from(self.quiet);
        let kind = match self.rng.below(10) {
            0..4 => ClientOp::Read,
            4..8 => ClientOp::Write {
                data: blocks
                    .iter()
                    .flat_map(|_| content_of(op).to_vec())
                    .collect::<Vec<u8>>()
                    .into(),
                fua,
            },
            8 => ClientOp::Zero { punch: true, fua },
            _ => ClientOp::Flush,
        };
        if matches!(kind, ClientOp::Flush) {
            blocks = BLOCKS.to_vec();
        }
        for block in blocks.clone() {
            match kind {
                ClientOp::Write { .. } | ClientOp::Zero { .. } if over => {}
                ClientOp::Write { .. } => self.register(block).write(op, op, fua),
                ClientOp::Zero { .. } => self.register(block).write(op, 0, fua),
                ClientOp::Flush => self.register(block).flush(op),
                _ => self.register(block).look(op),
            }
        }
        let request = ClientRequest {
            offset: first * BLOCK,
            length: blocks.len() as u64 * BLOCK,
            op: kind.clone(),
        };
        let shown = match kind {
            ClientOp::Read => "read",
            ClientOp::Write { fua: true, .. } => "write, on disk,",
            ClientOp::Write { .. } => "write",
            ClientOp::Zero { .. } => "zero",
            _ => "flush",
        };
        self.note(format!("client {client} calls {op}: {shown} {blocks:?}"));
        self.clients[client] = Some(Calling {
            op,
            actor,
            blocks,
            kind,
        });
        let event = Event::Client {
            client: ClientId(client as u64),
            cookie: op,
            request,
        };
        self.engine(actor, event)
    }

    pub(super) fn answer(
        &mut self,
        client: ClientId,
        cookie: u64,
        result: Result<ClientAnswer, ClientError>,
    ) -> Result<(), Violation> {
        let place = &mut self.clients[client.0 as usize];
        let Some(calling) = place.take_if(|calling| calling.op == cookie) else {
            return Ok(());
        };
        let Calling {
            op, blocks, kind, ..
        } = calling;
        let shown = match &result {
            Ok(ClientAnswer::Data(data)) => {
                let values = data.chunks_exact(BLOCK as usize).map(value_of);
                format!("{:?}", values.collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        };
        self.note(format!("{op} is answered: {shown}"));
        match result {
            Err(ClientError::NoSpace) => self.stats.no_space += 1,
            Err(ClientError::Io) => self.stats.io_errors += 1,
            Err(_) => {}
            Ok(_) => match kind {
                ClientOp::Flush => self.stats.flushes += 1,
                ClientOp::Read => self.stats.reads += 1,
                _ => {
                    self.stats.writes += 1;
                    self.stats.writes_in_quiet += usize::from(self.quiet);
                }
            },
        }
        for (index, block) in blocks.iter().enumerate() {
            let possible = self.possible(*block);
            let register = self.register(*block);
            match (&kind, &result) {
                (ClientOp::Read, Ok(ClientAnswer::Data(data))) => {
                    self.stats.reads_beside_fence += usize::from(self.fence.is_some());
                    let register = self.registers.get_mut(block).expect("a known block");
                    let at = index * BLOCK as usize;
                    let value = value_of(&data[at..at + BLOCK as usize]);
                    register.read(op, value);
                    self.judge(*block, || {
                        format!("read {op} returned {value}, possible were {possible:?}")
                    })?;
                }
                (ClientOp::Read | ClientOp::Flush, Err(_)) => register.forget(op),
                (ClientOp::Flush, Ok(_)) => register.flushed(op),
                (ClientOp::Write { .. } | ClientOp::Zero { .. }, Ok(_)) => {
                    register.written(op);
                    self.judge(*block, || format!("write {op} was answered, and can't be"))?;
                }
                (_, Err(_)) => {
                    register.refused(op);
                    self.judge(*block, || format!("write {op} failed, and was seen"))?;
                }
                (_, Ok(_)) => {}
            }
        }
        Ok(())
    }
}

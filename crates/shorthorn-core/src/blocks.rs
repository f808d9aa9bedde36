//! Arithmetic on the content of a range: whole blocks with their states.

use bytes::BytesMut;
use shorthorn_wire::BLOCK_BYTES;
use shorthorn_wire::message::{BlockState, Blocks};
use shorthorn_wire::sum::block_sum;

const BLOCK: usize = BLOCK_BYTES as usize;

/// Whether it is exactly the content of so many bytes.
pub(crate) fn fits(blocks: &Blocks, length: u32) -> bool {
    let stored = blocks
        .states
        .iter()
        .filter(|state| **state != BlockState::Zero);
    blocks.states.len() * BLOCK == length as usize && blocks.data.len() == stored.count() * BLOCK
}

/// Whether a block is bad.
pub(crate) fn has_bad(blocks: &Blocks) -> bool {
    blocks
        .states
        .iter()
        .any(|state| matches!(state, BlockState::Bad { .. }))
}

/// Each block with its content; none for zeroes. `blocks` must fit its length.
fn each(blocks: &Blocks) -> impl Iterator<Item = (BlockState, Option<&[u8]>)> {
    let mut content = blocks.data.chunks_exact(BLOCK);
    blocks.states.iter().map(move |state| match state {
        BlockState::Zero => (*state, None),
        _ => (*state, content.next()),
    })
}

/// Takes for each bad block of `blocks` the first good one in its place. The number of blocks that were replaced.
pub(crate) fn patch(blocks: &mut Blocks, others: &[Blocks]) -> usize {
    let mut replaced = 0;
    let mut states = Vec::with_capacity(blocks.states.len());
    let mut data = BytesMut::with_capacity(blocks.data.len());
    let mut rivals: Vec<_> = others.iter().map(each).collect();
    for own in each(blocks) {
        let mut chosen = own;
        for rival in &mut rivals {
            let Some(candidate) = rival.next() else {
                continue;
            };
            if is_bad(chosen.0) && !is_bad(candidate.0) {
                chosen = candidate;
                replaced += 1;
            }
        }
        states.push(chosen.0);
        data.extend_from_slice(chosen.1.unwrap_or_default());
    }
    drop(rivals);
    *blocks = Blocks {
        states,
        data: data.freeze(),
    };
    replaced
}

/// Accepts the data of every bad block under a checksum made from it (A14). The number of blocks that were accepted.
pub(crate) fn accept(blocks: &mut Blocks) -> usize {
    let states: Vec<BlockState> = each(blocks)
        .map(|(state, content)| match (state, content) {
            (BlockState::Bad { .. }, Some(content)) => BlockState::Good {
                sum: block_sum(content),
            },
            _ => state,
        })
        .collect();
    let accepted = blocks.states.iter().zip(&states);
    let count = accepted.filter(|(before, after)| before != after).count();
    blocks.states = states;
    count
}

fn is_bad(state: BlockState) -> bool {
    matches!(state, BlockState::Bad { .. })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn good(byte: u8) -> Blocks {
        let data = Bytes::from(vec![byte; BLOCK]);
        let sum = block_sum(&data);
        Blocks {
            states: vec![BlockState::Good { sum }],
            data,
        }
    }

    fn bad(byte: u8) -> Blocks {
        Blocks {
            states: vec![BlockState::Bad { sum: 1 }],
            ..good(byte)
        }
    }

    fn join(parts: &[Blocks]) -> Blocks {
        let states = parts.iter().flat_map(|part| part.states.clone()).collect();
        let data: Vec<u8> = parts.iter().flat_map(|part| part.data.to_vec()).collect();
        Blocks {
            states,
            data: data.into(),
        }
    }

    fn zero() -> Blocks {
        Blocks {
            states: vec![BlockState::Zero],
            data: Bytes::new(),
        }
    }

    #[test]
    fn a_bad_block_is_taken_from_the_first_that_fits() {
        let mut blocks = join(&[good(1), bad(2), zero(), bad(3), bad(4)]);
        let others = [
            join(&[good(9), bad(9), good(9), zero(), bad(9)]),
            join(&[good(8), good(8), good(8), good(8), bad(8)]),
        ];
        assert_eq!(patch(&mut blocks, &others), 2);
        assert_eq!(blocks, join(&[good(1), good(8), zero(), zero(), bad(4)]));
        assert!(fits(&blocks, 5 * BLOCK_BYTES) && has_bad(&blocks));
        assert_eq!(accept(&mut blocks), 1);
        assert_eq!(blocks, join(&[good(1), good(8), zero(), zero(), good(4)]));
    }
}

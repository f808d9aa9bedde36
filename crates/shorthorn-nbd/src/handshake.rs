//! The handshake phase: greeting, client flags, and the haggling over options until an export is chosen.

use bytes::{Buf, BufMut, Bytes};

use crate::error::ProtocolError;
use crate::export::Export;
use crate::numbers::{
    ALLOCATION_CONTEXT, ALLOCATION_ID, BASE_WILDCARD, EXPORT_NAME_ZEROES, FLAG_C_FIXED_NEWSTYLE,
    FLAG_C_NO_ZEROES, FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES, INIT_MAGIC, MAX_NAME_BYTES,
    MAX_OPTION_BYTES, MAX_OPTIONS, MAX_PAYLOAD_BYTES, MAX_SKIPPED_OPTION_BYTES, MIN_BLOCK_BYTES,
    OPTION_HEADER_BYTES, OPTION_MAGIC, OPTION_REPLY_MAGIC, PREFERRED_BLOCK_BYTES, info, opt, rep,
};
use crate::out::OutQueue;
use crate::request::Terms;

/// What an option leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The client may haggle on.
    Haggle,
    /// An export was chosen.
    Transmission,
    /// The client gave up.
    Closing,
}

/// What to do with an option's data once its header is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OptionHeader {
    pub(crate) option: u32,
    pub(crate) length: u32,
    /// Too long to understand, short enough to skip.
    pub(crate) skip: bool,
}

/// Everything that the handshake has to remember.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    fixed_newstyle: bool,
    no_zeroes: bool,
    options: u32,
    /// What is agreed on so far.
    pub(crate) terms: Terms,
}

/// The refusal of an option: its reply type and a message for people.
struct OptionError(u32, &'static str);

const MALFORMED: OptionError = OptionError(rep::ERR_INVALID, "malformed option data");
const UNKNOWN_EXPORT: OptionError = OptionError(rep::ERR_UNKNOWN, "no such export");

/// Queues the server's opening words.
pub(crate) fn put_greeting(out: &mut OutQueue) {
    let head = out.head();
    head.put_u64(INIT_MAGIC);
    head.put_u64(OPTION_MAGIC);
    head.put_u16(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES);
}

/// Queues the answer to an option that was skipped for its length.
pub(crate) fn put_too_big(out: &mut OutQueue, option: u32) {
    put_error(
        out,
        option,
        &OptionError(rep::ERR_TOO_BIG, "option data too long"),
    );
}

impl Handshake {
    pub(crate) fn client_flags(&mut self, flags: u32) -> Result<(), ProtocolError> {
        if flags & !(FLAG_C_FIXED_NEWSTYLE | FLAG_C_NO_ZEROES) != 0 {
            return Err(ProtocolError::ClientFlags(flags));
        }
        self.fixed_newstyle = flags & FLAG_C_FIXED_NEWSTYLE != 0;
        self.no_zeroes = flags & FLAG_C_NO_ZEROES != 0;
        Ok(())
    }

    /// Reads an option's header and counts the option against the limit.
    pub(crate) fn option_header(
        &mut self,
        mut bytes: &[u8],
    ) -> Result<OptionHeader, ProtocolError> {
        debug_assert_eq!(bytes.len(), OPTION_HEADER_BYTES);
        let magic = bytes.get_u64();
        let option = bytes.get_u32();
        let length = bytes.get_u32();
        if magic != OPTION_MAGIC {
            return Err(ProtocolError::OptionMagic(magic));
        }
        if !self.fixed_newstyle && option != opt::EXPORT_NAME {
            return Err(ProtocolError::NotFixedNewstyle(option));
        }
        // EXPORT_NAME knows no error reply, so its data is never skipped.
        let longest = if option == opt::EXPORT_NAME {
            MAX_NAME_BYTES as u32
        } else {
            MAX_SKIPPED_OPTION_BYTES
        };
        if length > longest {
            return Err(ProtocolError::OptionTooLong { option, length });
        }
        self.options += 1;
        if self.options > MAX_OPTIONS {
            return Err(ProtocolError::TooManyOptions);
        }
        Ok(OptionHeader {
            option,
            length,
            skip: length > MAX_OPTION_BYTES,
        })
    }

    /// Acts on a whole option and queues its answer.
    pub(crate) fn option(
        &mut self,
        option: u32,
        data: Bytes,
        export: &Export,
        out: &mut OutQueue,
    ) -> Result<Outcome, ProtocolError> {
        if option == opt::EXPORT_NAME {
            return self.export_name(&data, export, out);
        }
        let result = match option {
            opt::ABORT => Ok(Outcome::Closing),
            opt::LIST => list(&data, export, out),
            opt::INFO => self
                .info(option, data, export, out)
                .map(|()| Outcome::Haggle),
            opt::GO => self
                .info(option, data, export, out)
                .map(|()| Outcome::Transmission),
            opt::STRUCTURED_REPLY => self.structured_reply(&data),
            opt::LIST_META_CONTEXT => self.list_contexts(data, export, out),
            opt::SET_META_CONTEXT => self.set_contexts(data, export, out),
            opt::STARTTLS => Err(OptionError(rep::ERR_POLICY, "TLS is not offered here")),
            _ => Err(OptionError(rep::ERR_UNSUP, "unknown option")),
        };
        match result {
            Ok(outcome) => {
                put_reply_header(out, option, rep::ACK, 0);
                Ok(outcome)
            }
            Err(error) => {
                put_error(out, option, &error);
                Ok(Outcome::Haggle)
            }
        }
    }

    fn export_name(
        &self,
        name: &[u8],
        export: &Export,
        out: &mut OutQueue,
    ) -> Result<Outcome, ProtocolError> {
        if !export.is_called(name) {
            return Err(ProtocolError::UnknownExport);
        }
        let head = out.head();
        head.put_u64(export.size);
        head.put_u16(export.transmission_flags(self.terms.structured));
        if !self.no_zeroes {
            head.put_bytes(0, EXPORT_NAME_ZEROES);
        }
        Ok(Outcome::Transmission)
    }

    /// INFO and GO: the size and flags always, name and block sizes if asked for.
    fn info(
        &self,
        option: u32,
        mut data: Bytes,
        export: &Export,
        out: &mut OutQueue,
    ) -> Result<(), OptionError> {
        let name = take_string(&mut data)?;
        let count = usize::from(data.try_get_u16().map_err(|_| MALFORMED)?);
        if data.len() != count * 2 {
            return Err(MALFORMED);
        }
        if !export.is_called(&name) {
            return Err(UNKNOWN_EXPORT);
        }
        put_reply_header(out, option, rep::INFO, 2 + 8 + 2);
        let head = out.head();
        head.put_u16(info::EXPORT);
        head.put_u64(export.size);
        head.put_u16(export.transmission_flags(self.terms.structured));
        let (mut named, mut sized) = (false, false);
        while data.has_remaining() {
            match data.get_u16() {
                info::NAME => named = true,
                info::BLOCK_SIZE => sized = true,
                _ => {}
            }
        }
        if named {
            put_reply_header(out, option, rep::INFO, 2 + export.name.len());
            let head = out.head();
            head.put_u16(info::NAME);
            head.put_slice(export.name.as_bytes());
        }
        if sized {
            put_reply_header(out, option, rep::INFO, 2 + 3 * 4);
            let head = out.head();
            head.put_u16(info::BLOCK_SIZE);
            head.put_u32(MIN_BLOCK_BYTES);
            head.put_u32(PREFERRED_BLOCK_BYTES);
            head.put_u32(MAX_PAYLOAD_BYTES);
        }
        Ok(())
    }

    fn structured_reply(&mut self, data: &[u8]) -> Result<Outcome, OptionError> {
        if !data.is_empty() {
            return Err(MALFORMED);
        }
        self.terms.structured = true;
        Ok(Outcome::Haggle)
    }

    fn list_contexts(
        &self,
        data: Bytes,
        export: &Export,
        out: &mut OutQueue,
    ) -> Result<Outcome, OptionError> {
        let queries = self.queries(data, export)?;
        if queries.count == 0 || queries.allocation || queries.wildcard {
            put_context(out, opt::LIST_META_CONTEXT, 0);
        }
        Ok(Outcome::Haggle)
    }

    /// Replaces the earlier choice, also when it fails. The wildcard chooses nothing here.
    fn set_contexts(
        &mut self,
        data: Bytes,
        export: &Export,
        out: &mut OutQueue,
    ) -> Result<Outcome, OptionError> {
        self.terms.allocation = false;
        let queries = self.queries(data, export)?;
        if queries.allocation {
            self.terms.allocation = true;
            put_context(out, opt::SET_META_CONTEXT, ALLOCATION_ID);
        }
        Ok(Outcome::Haggle)
    }

    fn queries(&self, mut data: Bytes, export: &Export) -> Result<Queries, OptionError> {
        if !self.terms.structured {
            return Err(OptionError(
                rep::ERR_INVALID,
                "structured replies come first",
            ));
        }
        let name = take_string(&mut data)?;
        let count = data.try_get_u32().map_err(|_| MALFORMED)?;
        let mut queries = Queries {
            count,
            allocation: false,
            wildcard: false,
        };
        for _ in 0..count {
            let query = take_string(&mut data)?; // takes at least 4 bytes: the loop ends with the data
            queries.allocation |= query == ALLOCATION_CONTEXT;
            queries.wildcard |= query == BASE_WILDCARD;
        }
        if !data.is_empty() {
            return Err(MALFORMED);
        }
        if !export.is_called(&name) {
            return Err(UNKNOWN_EXPORT);
        }
        Ok(queries)
    }
}

/// What a client's queries for metadata contexts amount to. Queries that we do not know count for nothing.
struct Queries {
    count: u32,
    allocation: bool,
    wildcard: bool,
}

fn list(data: &[u8], export: &Export, out: &mut OutQueue) -> Result<Outcome, OptionError> {
    if !data.is_empty() {
        return Err(MALFORMED);
    }
    put_reply_header(out, opt::LIST, rep::SERVER, 4 + export.name.len());
    let head = out.head();
    head.put_u32(export.name.len() as u32);
    head.put_slice(export.name.as_bytes());
    Ok(Outcome::Haggle)
}

/// Takes a string with its 32-bit length off the front.
fn take_string(data: &mut Bytes) -> Result<Bytes, OptionError> {
    let length = data.try_get_u32().map_err(|_| MALFORMED)? as usize;
    if length > data.len() {
        return Err(MALFORMED);
    }
    if length > MAX_NAME_BYTES {
        return Err(OptionError(
            rep::ERR_TOO_BIG,
            "a string is longer than 4096 bytes",
        ));
    }
    Ok(data.split_to(length))
}

fn put_context(out: &mut OutQueue, option: u32, id: u32) {
    put_reply_header(out, option, rep::META_CONTEXT, 4 + ALLOCATION_CONTEXT.len());
    let head = out.head();
    head.put_u32(id);
    head.put_slice(ALLOCATION_CONTEXT);
}

fn put_error(out: &mut OutQueue, option: u32, error: &OptionError) {
    put_reply_header(out, option, error.0, error.1.len());
    out.head().put_slice(error.1.as_bytes());
}

/// Lengths are of our own short replies and of the export's name: they fit 32 bits.
fn put_reply_header(out: &mut OutQueue, option: u32, kind: u32, length: usize) {
    let head = out.head();
    head.put_u64(OPTION_REPLY_MAGIC);
    head.put_u32(option);
    head.put_u32(kind);
    head.put_u32(length as u32);
}

//! One exception class for each variant of each error of the crates below; nothing is caught under a wider name.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use shorthorn_core::BadOrder;
use shorthorn_disk as disk;
use shorthorn_wire as wire;

macro_rules! exceptions {
    ($($name:ident($base:ty) $doc:literal;)*) => {
        $(pyo3::create_exception!(shorthorn.native._native, $name, $base, $doc);)*

        /// Adds all of them to the module.
        pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let py = module.py();
            $(module.add(stringify!($name), py.get_type::<$name>())?;)*
            Ok(())
        }
    };
}

exceptions! {
    NativeError(PyException) "Any error of this module's own.";
    JsonError(NativeError) "Bytes that are not JSON of the type that is wanted.";
    UnknownReplicaError(NativeError) "A replica's index that the order does not have.";
    TooBigError(NativeError) "A message beyond a limit of the wire language.";

    OrderError(NativeError) "An order that no engine or copier can carry out.";
    NoTargetError(OrderError) "No replica to work with.";
    RolesError(OrderError) "A move from a replica that is not in-sync, or to one that is.";
    TooManyTargetsError(OrderError) "More replicas than an order may name.";
    TwiceError(OrderError) "One replica twice.";
    SizeError(OrderError) "A size that is nothing, or not whole blocks.";

    WireError(NativeError) "Bytes that are no frame of the wire language.";
    MagicError(WireError) "Not the start of a frame.";
    HeadSumError(WireError) "The checksum of a frame's head does not fit.";
    PayloadSumError(WireError) "The checksum of a frame's payload does not fit.";
    KindError(WireError) "No message of this direction has this kind.";
    TooLongError(WireError) "More payload than the kind may have.";
    MalformedError(WireError) "A field that the kind does not use, or fields that contradict each other.";
    PayloadJsonError(WireError) "A JSON payload that does not parse.";

    DiskError(NativeError) "A replica's files could not be used as asked.";
    NoSpaceError(DiskError) "The disk is full, or a quota is reached.";
    CorruptError(DiskError) "A block does not fit its checksum.";
    OutOfRangeError(DiskError) "Beyond the end of the volume.";
    MisalignedError(DiskError) "Whole blocks were needed.";
    UnmarkedError(DiskError) "A change in a region that is not marked.";
    InvalidError(DiskError) "Something in the request makes no sense.";
    OtherLayoutError(DiskError) "A document with another chain, head or size than the folder's.";
    ExistsError(DiskError) "There is a replica already.";
    MissingError(DiskError) "There is no replica.";
    DamagedError(DiskError) "What is on the disk is not what any version has written.";
    NewerFormatError(DiskError) "Written by a newer version.";
    DiskIoError(DiskError) "The operating system reported an error.";
    FailedError(DiskError) "A sync or the disk failed before, in this boot.";
}

/// An order that makes no sense.
pub fn bad_order(error: &BadOrder) -> PyErr {
    let text = error.to_string();
    match error {
        BadOrder::NoTarget => NoTargetError::new_err(text),
        BadOrder::Roles => RolesError::new_err(text),
        BadOrder::TooMany(_) => TooManyTargetsError::new_err(text),
        BadOrder::Twice(_) => TwiceError::new_err(text),
        BadOrder::Size(_) => SizeError::new_err(text),
    }
}

/// Bytes that are no frame.
pub fn bad_frame(error: &wire::WireError) -> PyErr {
    let text = error.to_string();
    match error {
        wire::WireError::Magic(_) => MagicError::new_err(text),
        wire::WireError::HeadSum => HeadSumError::new_err(text),
        wire::WireError::PayloadSum { .. } => PayloadSumError::new_err(text),
        wire::WireError::Kind(_) => KindError::new_err(text),
        wire::WireError::TooLong { .. } => TooLongError::new_err(text),
        wire::WireError::Malformed { .. } => MalformedError::new_err(text),
        wire::WireError::Json { .. } => PayloadJsonError::new_err(text),
    }
}

/// A message that does not fit a frame.
pub fn too_big(error: &wire::TooBig) -> PyErr {
    TooBigError::new_err(error.to_string())
}

/// What a replica's files could not do.
pub fn disk_error(error: &disk::DiskError) -> PyErr {
    let text = error.to_string();
    match error {
        disk::DiskError::NoSpace { .. } => NoSpaceError::new_err(text),
        disk::DiskError::Corrupt { .. } => CorruptError::new_err(text),
        disk::DiskError::OutOfRange { .. } => OutOfRangeError::new_err(text),
        disk::DiskError::Misaligned { .. } => MisalignedError::new_err(text),
        disk::DiskError::Unmarked { .. } => UnmarkedError::new_err(text),
        disk::DiskError::Invalid { .. } => InvalidError::new_err(text),
        disk::DiskError::OtherLayout { .. } => OtherLayoutError::new_err(text),
        disk::DiskError::Exists { .. } => ExistsError::new_err(text),
        disk::DiskError::Missing { .. } => MissingError::new_err(text),
        disk::DiskError::Damaged { .. } => DamagedError::new_err(text),
        disk::DiskError::NewerFormat { .. } => NewerFormatError::new_err(text),
        disk::DiskError::Io { .. } => DiskIoError::new_err(text),
        disk::DiskError::Failed { .. } => FailedError::new_err(text),
    }
}

//! The wire contract between a probe and its coordinator, and the only place where wire meets model.
//!
//! [`v1`] is generated from `proto/plumbline/v1/control.proto` (`cargo xtask gen`) and used for nothing but sending and
//! receiving. What came from a peer is untrusted: [`convert`] turns it into typed values or says which field is wrong, and
//! nothing behind it checks again. Both ends set the limits of [`limits`] on their gRPC endpoints.

pub mod convert;
pub mod limits;

pub use convert::{FieldError, Invalid};

/// The version of the protocol. A coordinator refuses a probe of another.
pub const PROTOCOL: u32 = 2;

/// The generated messages and services.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "written by the generator; the comments are in control.proto"
)]
pub mod v1 {
    include!("gen/plumbline.v1.rs");
}

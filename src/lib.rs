//! Latchkey: face recognition that opens a door.
#![warn(missing_docs)]
pub mod capture;
pub mod clock;
pub mod door;
pub mod frame;
pub mod output;

//! The people who live here: the gallery file that remembers them, and the identification that tells
//! them from everybody else.
//!
//! Faces come from [`crate::face`]; whether a name opens a door is [`crate::door`]'s business.

mod bank;
mod enrol;
mod evidence;
pub mod folders;
mod gallery;
mod guide;
mod head;
mod identify;
pub mod name;
mod places;
mod same;
pub mod tuned;

pub use bank::{Bank, BankError, Cohort, Enrolled, FAR};
pub use enrol::{DUPLICATE, Enrolment, EnrolmentError, Refusal};
pub use evidence::{Evidence, Motion, Presented};
pub(crate) use gallery::write_whole;
pub use gallery::{Gallery, GalleryError, Known, Operating, Person, PersonId, Tuned, TunedPerson};
pub use guide::{Advice, Guide, Look};
pub use head::{directions, likeness};
pub use identify::{Identification, Identifier, Rule};
pub use places::Places;
pub use same::{SAME, people_of};
pub use tuned::TunedError;

//! The residents: the gallery file that stores them, and the identification that distinguishes them
//! from everyone else.
//!
//! Faces come from [`crate::face`]; [`crate::door`] decides whether a name opens the door.

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

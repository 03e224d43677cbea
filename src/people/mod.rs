//! The residents: the gallery file that stores them, and the identification that distinguishes them
//! from everyone else.
//!
//! Faces come from [`crate::face`]; [`crate::door`] decides whether a name opens the door.

mod bank;
mod enrol;
mod enrolment_guide;
mod evidence;
pub mod folders;
mod gallery;
mod grouping;
mod identify;
mod linear_head;
pub mod name;
pub mod tuned;
mod unsteady_regions;

pub use bank::{Bank, BankError, Cohort, Enrolled, FAR};
pub use enrol::{DUPLICATE, Enrolment, EnrolmentError, Refusal};
pub use enrolment_guide::{EnrolmentFrame, EnrolmentGuide, Prompt};
pub use evidence::{Evidence, Motion, Presented};
pub(crate) use gallery::write_whole;
pub use gallery::{
    EnrolledPeople, Gallery, GalleryError, Operating, Person, PersonId, Tuned, TunedPerson,
};
pub use grouping::{GROUPING_FRACTION, group_by_person};
pub use identify::{Identification, Identifier, Rule};
pub use linear_head::{directions, likeness};
pub use tuned::TunedError;
pub use unsteady_regions::UnsteadyRegions;

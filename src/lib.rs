//! Latchkey: private face recognition that opens a door, on a single-board computer.
//!
//! A frame moves in one direction, and passes through the folders in this order:
//!
//! ```text
//! camera ─▶ lease ─▶ sample ─▶ detect ─▶ align+sample ─▶ embed ─▶ identify ─▶ decide ─▶ act
//!  capture/          frame/      face/                              people/      door/     output/
//! ```
//!
//! | room | what it knows |
//! |---|---|
//! | [`frame`] | pixel formats, leases of camera memory, the sampler: the one place that reads pixels |
//! | [`capture`] | cameras (V4L2) and folders of pictures, as sources of leases |
//! | [`nn`] | what a network is; manifests and verified model files; TensorFlow Lite |
//! | [`face`] | from a picture to its faces: detector, landmarks, alignment, quality, embedding |
//! | [`people`] | the residents: gallery file, enrolment, identification |
//! | [`lesson`] | faces to learn from: views of photos, synthetic strangers; training the top layers on them |
//! | [`learner`] | the process that reads photos, which may come from anyone |
//! | [`learn`] | from a folder of photos to the gallery: data set, checks, trials, calibration, fine-tuning |
//! | [`door`] | the decision: a pure state machine |
//! | [`output`] | relay, LEDs, button, and the guard that outlives a crash |
//! | [`broker`] | the small process that opens devices for the door's process, and starts its guards |
//! | [`pipeline`] | threads, and what passes between them |
//! | [`lab`] | measurements: how well people are distinguished, how visits go, how long a frame takes; the door never uses it |
//! | [`cli`] | the commands |
//! | [`card`] | the first process of a card that boots into the job: it starts [`cli`]'s `run` |
//!
//! These rules apply everywhere:
//!
//! - No code copies a frame. A [`frame::Lease`] borrows the driver's buffer; dropping it gives it back.
//! - The newest frame wins. Between camera and recognition there is room for one frame, so latency never queues up.
//! - Once running, the frame path neither allocates nor locks ([`alloc`] counts allocations). Only the first MJPEG frame of a
//!   size allocates.
//! - A doubt keeps the door shut. Every failure ends with the relay off; [`output`] documents how.
//! - Text that people write is read in the sense in which they mean it ([`text`]), and a failure of the machine is not reported
//!   as their mistake ([`fault`]).
//! - Before the first frame or photo, each process gives up what it does not need ([`confine`]); `run` reports its progress to a
//!   service manager ([`supervisor`]).
//! - `unsafe` is denied, and allowed only where the code calls the kernel or C.

pub mod alloc;
pub mod broker;
pub mod capture;
pub mod card;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod confine;
pub mod door;
pub mod doorstep;
pub mod face;
pub mod fault;
pub mod frame;
pub mod journal;
pub mod lab;
pub mod learn;
pub mod learner;
pub mod lesson;
pub mod memory;
pub mod nn;
pub mod output;
pub mod panics;
pub mod passing;
pub mod people;
pub mod pipeline;
pub mod rates;
pub mod supervisor;
pub mod text;
pub mod wakeup;

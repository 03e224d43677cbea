//! The costs of a frame's steps: the time of each, and the pixels sampled. Measuring takes two clock readings per step, so
//! it is always on.

use std::time::Instant;

/// The steps of a frame, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Camera bytes into the detector's input.
    DetectSample,
    /// The detector.
    DetectInvoke,
    /// From anchors to boxes, suppression, plausibility.
    DetectDecode,
    /// Camera bytes into the landmark network's input.
    LandmarksSample,
    /// The landmark network.
    LandmarksInvoke,
    /// Camera bytes into the embedder's input.
    AlignSample,
    /// Sharpness of the aligned face.
    Quality,
    /// The embedder.
    EmbedInvoke,
    /// Everything between the other steps.
    Rest,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::DetectSample,
        Self::DetectInvoke,
        Self::DetectDecode,
        Self::LandmarksSample,
        Self::LandmarksInvoke,
        Self::AlignSample,
        Self::Quality,
        Self::EmbedInvoke,
        Self::Rest,
    ];

    /// Whether the step is only a network's invocation.
    #[must_use]
    pub const fn is_network(self) -> bool {
        matches!(
            self,
            Self::DetectInvoke | Self::LandmarksInvoke | Self::EmbedInvoke
        )
    }

    /// The step's name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DetectSample => "detect: sample",
            Self::DetectInvoke => "detect: network",
            Self::DetectDecode => "detect: decode",
            Self::LandmarksSample => "landmarks: sample",
            Self::LandmarksInvoke => "landmarks: network",
            Self::AlignSample => "align: sample",
            Self::Quality => "quality",
            Self::EmbedInvoke => "embed: network",
            Self::Rest => "rest",
        }
    }
}

/// The costs of a frame.
#[derive(Clone, Debug)]
pub struct Stages {
    last: Instant,
    /// Nanoseconds per stage, in the order of [`Stage::ALL`], summed over the frame's faces.
    nanos: [u64; Stage::ALL.len()],
    /// Source pixels that the sampler read.
    pub sampled: u64,
    /// The number of these pixels that were read for the detector.
    pub detect_sampled: u64,
    /// The number of looks at an enlarged part of the picture for a doubtful detection. Second looks are always sampled.
    pub second_looks: u32,
}

impl Stages {
    /// Starts measuring, with all costs at zero.
    #[must_use]
    pub fn start() -> Self {
        Self {
            last: Instant::now(),
            nanos: [0; Stage::ALL.len()],
            sampled: 0,
            detect_sampled: 0,
            second_looks: 0,
        }
    }

    /// Adds the time since the last lap to `stage`.
    pub fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        let took = now.duration_since(self.last).as_nanos();
        self.nanos[stage as usize] += u64::try_from(took).unwrap_or(u64::MAX);
        self.last = now;
    }

    /// Nanoseconds spent on `stage`.
    #[must_use]
    pub const fn nanos(&self, stage: Stage) -> u64 {
        self.nanos[stage as usize]
    }

    /// Nanoseconds in network invocations.
    #[must_use]
    pub fn networks(&self) -> u64 {
        let stages = Stage::ALL.into_iter().filter(|s| s.is_network());
        stages.map(|s| self.nanos(s)).sum()
    }

    /// Nanoseconds in total.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.nanos.iter().sum()
    }
}

//! `latchkey doorstep --to`: writes the play into a V4L2 output device in real time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use v4l::buffer::Type;
use v4l::io::mmap::Stream;
use v4l::io::traits::{OutputStream, Stream as _};
use v4l::video::Output as _;
use v4l::{Device, Format, FourCC};

use super::{Exit, Failure, Of};
use crate::capture::convert::from_rgb;
use crate::cli::pixel_format;
use crate::doorstep::{HEIGHT, SceneRenderer, WIDTH, picture};
use crate::frame::PixelFormat;

#[derive(clap::Args)]
#[group(id = "show")]
pub struct Arguments {
    #[command(flatten)]
    of: Of,
    /// V4L2 output device, such as /dev/video1
    #[arg(long, value_name = "DEVICE")]
    to: Option<PathBuf>,
    /// Pixel format: yuyv, nv12, yu12, grey, rgb3 or bgr3
    #[arg(long, default_value = "yuyv", value_parser = pixel_format)]
    format: PixelFormat,
    /// Frames per second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let device = arguments.to.as_ref().ok_or_else(|| Failure {
        exit: Exit::Usage,
        text: "doorstep: --to /dev/videoN or one of its commands is needed; --help lists them"
            .into(),
    })?;
    let failed = |what: &str, why: &dyn std::fmt::Display| Failure {
        exit: Exit::Machine,
        text: format!("{}: {what}: {why}", device.display()),
    };
    let node = Device::with_path(device).map_err(|e| failed("cannot be opened", &e))?;
    let (width, height) = (WIDTH as u32, HEIGHT as u32);
    let wanted = Format::new(width, height, FourCC::new(&arguments.format.fourcc()));
    let got = node
        .set_format(&wanted)
        .map_err(|e| failed("is no output that takes pictures", &e))?;
    if (got.width, got.height, got.fourcc) != (width, height, wanted.fourcc) {
        let got = format!("it takes {}x{} {}", got.width, got.height, got.fourcc);
        return Err(failed("does not take 640x480 in this format", &got));
    }
    let unusable = |e: std::io::Error| failed("takes no pictures", &e);
    let mut stream = Stream::with_buffers(&node, Type::VideoOutput, 3).map_err(unusable)?;
    // A driver such as vivid may keep a picture until there is a next one. So two pictures are queued at all times; the first
    // ones are black. They are queued before the start, because after it queueing waits until a picture has been shown.
    for index in 1..3 {
        OutputStream::queue(&mut stream, index).map_err(unusable)?;
    }
    stream.start().map_err(unusable)?;
    let mut stage = SceneRenderer::new(arguments.of.play());
    let (mut canvas, mut bytes) = (picture(), Vec::new());
    let (begun, end) = (Instant::now(), stage.play().end());
    for k in 0_u32.. {
        let due = Duration::from_secs(u64::from(k)) / arguments.fps;
        if due.as_secs_f32() > end {
            break;
        }
        stage.draw(due.as_secs_f32(), &mut canvas);
        from_rgb(&canvas, width, height, arguments.format, &mut bytes)?;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let (buffer, about) = OutputStream::next(&mut stream).map_err(unusable)?;
        let part = buffer.get_mut(..bytes.len());
        part.ok_or_else(|| failed("takes no pictures", &"its buffers are too small"))?
            .copy_from_slice(&bytes);
        about.bytesused = got.size.min(bytes.len() as u32);
    }
    Ok(Exit::Done)
}

//! A V4L2 device node and its calls, with types and a safe interface.
//!
//! This module uses the call numbers, the structures and the call itself from the crate `v4l`. It does not use the crate's
//! `Device` and conversions: they panic on names that are not UTF-8, on unknown colour spaces and field orders, and when
//! closing fails. A camera must not stop the program.

#![expect(unsafe_code, reason = "ioctl, and the unions in its structures")]

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use v4l::v4l_sys as c;
use v4l::v4l2::vidioc;

use super::super::choose::{Interval, IntervalRange, SizeRange};
use crate::clock::Timestamp;

const CAPTURE: u32 = c::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;
const MMAP: u32 = c::v4l2_memory_V4L2_MEMORY_MMAP;

/// No driver has this many of anything. The limit is there because a driver whose list never ends must not hang the program.
const MOST: u32 = 512;

/// A structure that the kernel fills.
///
/// # Safety
/// All-zero bytes, and any others that the kernel writes, must be a valid value of the structure. It must contain no pointer
/// that the kernel follows, or only pointers that the kernel does not follow while the other fields are as [`Node`] sets
/// them.
unsafe trait Plain: Copy {
    fn zeroed() -> Self {
        // SAFETY: the trait promises that zeros are a valid value.
        unsafe { std::mem::zeroed() }
    }
}

// SAFETY: the structure consists of integers, and of unions and arrays of integers.
unsafe impl Plain for c::v4l2_capability {}
// SAFETY: as above.
unsafe impl Plain for c::v4l2_fmtdesc {}
// SAFETY: as above.
unsafe impl Plain for c::v4l2_frmsizeenum {}
// SAFETY: as above.
unsafe impl Plain for c::v4l2_frmivalenum {}
// SAFETY: as above.
unsafe impl Plain for c::v4l2_streamparm {}
// SAFETY: as above.
unsafe impl Plain for c::v4l2_requestbuffers {}
// SAFETY: as above. The union's overlay member has raw pointers, for which zero is a valid value. The kernel looks at them
// only with another buffer type than the one that `Node` sets.
unsafe impl Plain for c::v4l2_format {}
// SAFETY: as above; `m.planes` and `m.userptr` are followed only with a multiplanar type or with
// user memory, and `Node` sets neither.
unsafe impl Plain for c::v4l2_buffer {}
// SAFETY: an integer.
unsafe impl Plain for c_int {}

/// A call with an argument of type `T`.
struct Request<T> {
    name: &'static str,
    code: vidioc::_IOC_TYPE,
    argument: PhantomData<T>,
}

impl<T: Plain> Request<T> {
    /// `code` must be a V4L2 call. The size of its argument is part of the number, and is compared with the size of `T` when
    /// compiling.
    const fn new(name: &'static str, code: vidioc::_IOC_TYPE) -> Self {
        assert!((code >> 16) as usize & 0x3fff == size_of::<T>());
        Self {
            name,
            code,
            argument: PhantomData,
        }
    }
}

macro_rules! requests {
    ($($name:ident: $argument:ty;)*) => {
        $(const $name: Request<$argument> = Request::new(stringify!($name), vidioc::$name);)*
        /// The numbers of all calls that are made on a camera.
        pub const CALLS: [u32; [$(stringify!($name)),*].len()] = [$(vidioc::$name as u32),*];
    };
}

requests! {
    VIDIOC_QUERYCAP: c::v4l2_capability;
    VIDIOC_ENUM_FMT: c::v4l2_fmtdesc;
    VIDIOC_ENUM_FRAMESIZES: c::v4l2_frmsizeenum;
    VIDIOC_ENUM_FRAMEINTERVALS: c::v4l2_frmivalenum;
    VIDIOC_G_FMT: c::v4l2_format;
    VIDIOC_S_FMT: c::v4l2_format;
    VIDIOC_G_PARM: c::v4l2_streamparm;
    VIDIOC_S_PARM: c::v4l2_streamparm;
    VIDIOC_REQBUFS: c::v4l2_requestbuffers;
    VIDIOC_QUERYBUF: c::v4l2_buffer;
    VIDIOC_QBUF: c::v4l2_buffer;
    VIDIOC_DQBUF: c::v4l2_buffer;
    VIDIOC_STREAMON: c_int;
    VIDIOC_STREAMOFF: c_int;
}

/// A call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailedCall {
    pub call: &'static str,
    pub errno: Errno,
}

/// The kernel's description of a device.
#[derive(Clone, Debug)]
pub(super) struct Capability {
    pub card: String,
    pub driver: String,
    pub bus: String,
    /// `V4L2_CAP_*` of this node, not of the whole device.
    pub flags: u32,
}

/// A pixel format that a device offers.
#[derive(Clone, Debug)]
pub(super) struct FormatDescription {
    pub fourcc: [u8; 4],
    pub description: String,
    pub emulated: bool,
}

/// A format as the driver has set it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PixFormat {
    pub fourcc: [u8; 4],
    pub width: u32,
    pub height: u32,
    pub stride: u32,
    pub colorspace: u32,
    pub quantization: u32,
}

/// A frame that the driver has filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct DequeuedBuffer {
    pub index: u32,
    pub used: usize,
    pub error: bool,
    pub sequence: u32,
    /// The time at which the frame was captured; `None` if the driver uses another clock than ours.
    pub captured: Option<Timestamp>,
}

/// An open device node. Closed when dropped, even if the kernel reports an error.
pub(super) struct Node(File);

impl Node {
    /// A node from a descriptor that was opened for reading and writing, without blocking.
    pub fn new(node: OwnedFd) -> Self {
        Self(node.into())
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The device's number; `None` if it cannot be determined.
    pub fn number(&self) -> Option<u64> {
        self.0.metadata().ok().map(|m| m.rdev())
    }

    fn call<T: Plain>(&self, request: &Request<T>, argument: &mut T) -> Result<(), FailedCall> {
        loop {
            let pointer = std::ptr::from_mut(argument).cast::<c_void>();
            // SAFETY: the descriptor is open as long as `self`. `pointer` is valid for reads and writes of a `T`, whose size
            // is part of the request's number (`Request::new`). By `Plain`, the kernel follows no pointer in it and leaves a
            // valid value of `T`. If the node is no V4L2 device, its driver could mistake the number for a call of its own.
            // But numbers encode the type 'V' and the size, by which drivers recognise their own calls.
            let result = unsafe { v4l::v4l2::ioctl(self.0.as_raw_fd(), request.code, pointer) };
            let Err(error) = result else { return Ok(()) };
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            if errno != Errno::INTR {
                return Err(FailedCall {
                    call: request.name,
                    errno,
                });
            }
        }
    }

    /// Calls `get` with 0, 1, 2… until the driver answers that there are no more.
    fn all<T>(mut get: impl FnMut(u32) -> Result<T, FailedCall>) -> Vec<T> {
        (0..MOST).map_while(|index| get(index).ok()).collect()
    }

    pub fn capability(&self) -> Result<Capability, FailedCall> {
        let mut caps = c::v4l2_capability::zeroed();
        self.call(&VIDIOC_QUERYCAP, &mut caps)?;
        Ok(Capability {
            card: text(&caps.card),
            driver: text(&caps.driver),
            bus: text(&caps.bus_info),
            flags: if caps.capabilities & c::V4L2_CAP_DEVICE_CAPS != 0 {
                caps.device_caps
            } else {
                caps.capabilities
            },
        })
    }

    pub fn formats(&self) -> Vec<FormatDescription> {
        Self::all(|index| {
            let mut desc = c::v4l2_fmtdesc::zeroed();
            (desc.index, desc.type_) = (index, CAPTURE);
            self.call(&VIDIOC_ENUM_FMT, &mut desc)?;
            Ok(FormatDescription {
                fourcc: desc.pixelformat.to_le_bytes(),
                description: text(&desc.description),
                emulated: desc.flags & c::V4L2_FMT_FLAG_EMULATED != 0,
            })
        })
    }

    /// The sizes of a format; empty if the driver does not report them.
    pub fn sizes(&self, fourcc: [u8; 4]) -> Vec<SizeRange> {
        Self::all(|index| {
            let mut size = c::v4l2_frmsizeenum::zeroed();
            (size.index, size.pixel_format) = (index, u32::from_le_bytes(fourcc));
            self.call(&VIDIOC_ENUM_FRAMESIZES, &mut size)?;
            if size.type_ == c::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                // SAFETY: every member of the union consists of integers, and the kernel has set this one.
                let s = unsafe { size.__bindgen_anon_1.discrete };
                return Ok(SizeRange::single(s.width, s.height));
            }
            // SAFETY: as above. A continuous range is a stepwise one with steps of 1.
            let s = unsafe { size.__bindgen_anon_1.stepwise };
            Ok(SizeRange {
                width: (s.min_width, s.max_width, s.step_width),
                height: (s.min_height, s.max_height, s.step_height),
            })
        })
    }

    /// The intervals at a size; empty if the driver does not report them.
    pub fn intervals(&self, fourcc: [u8; 4], width: u32, height: u32) -> Vec<IntervalRange> {
        let interval = |f: c::v4l2_fract| Interval {
            numerator: f.numerator,
            denominator: f.denominator,
        };
        Self::all(|index| {
            let mut query = c::v4l2_frmivalenum::zeroed();
            (query.index, query.pixel_format) = (index, u32::from_le_bytes(fourcc));
            (query.width, query.height) = (width, height);
            self.call(&VIDIOC_ENUM_FRAMEINTERVALS, &mut query)?;
            if query.type_ == c::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
                // SAFETY: every member of the union consists of integers, and the kernel has set this one.
                let only = interval(unsafe { query.__bindgen_anon_1.discrete });
                return Ok(IntervalRange {
                    shortest: only,
                    longest: only,
                });
            }
            // SAFETY: as above.
            let range = unsafe { query.__bindgen_anon_1.stepwise };
            Ok(IntervalRange {
                shortest: interval(range.min),
                longest: interval(range.max),
            })
        })
    }

    /// Requests a format and returns the format that the driver has set.
    pub fn set_format(
        &self,
        fourcc: [u8; 4],
        width: u32,
        height: u32,
    ) -> Result<PixFormat, FailedCall> {
        let mut format = c::v4l2_format::zeroed();
        format.type_ = CAPTURE;
        format.fmt.pix = c::v4l2_pix_format {
            width,
            height,
            pixelformat: u32::from_le_bytes(fourcc),
            field: c::v4l2_field_V4L2_FIELD_NONE,
            bytesperline: 0,
            sizeimage: 0,
            colorspace: 0,
            priv_: 0,
            flags: 0,
            __bindgen_anon_1: c::v4l2_pix_format__bindgen_ty_1 { ycbcr_enc: 0 },
            quantization: 0,
            xfer_func: 0,
        };
        self.call(&VIDIOC_S_FMT, &mut format)?;
        // SAFETY: every member of the union consists of integers or raw pointers, and for this buffer type the kernel has
        // set this one.
        let pix = unsafe { format.fmt.pix };
        // Before V4L2_PIX_FMT_PRIV_MAGIC, `flags` and the fields after it did not have their present meaning.
        let extended = pix.priv_ == c::V4L2_PIX_FMT_PRIV_MAGIC;
        Ok(PixFormat {
            fourcc: pix.pixelformat.to_le_bytes(),
            width: pix.width,
            height: pix.height,
            stride: pix.bytesperline,
            colorspace: pix.colorspace,
            quantization: if extended { pix.quantization } else { 0 },
        })
    }

    /// Sets the current format again. This changes nothing, but fails if another program streams.
    pub fn reset_format(&self) -> Result<(), FailedCall> {
        let mut format = c::v4l2_format::zeroed();
        format.type_ = CAPTURE;
        self.call(&VIDIOC_G_FMT, &mut format)?;
        self.call(&VIDIOC_S_FMT, &mut format)
    }

    /// Requests an interval. Drivers without a choice of intervals refuse it, which is not a fault.
    pub fn set_interval(&self, interval: Interval) -> Result<(), FailedCall> {
        let mut parameters = c::v4l2_streamparm::zeroed();
        parameters.type_ = CAPTURE;
        parameters.parm.capture = c::v4l2_captureparm {
            capability: 0,
            capturemode: 0,
            timeperframe: c::v4l2_fract {
                numerator: interval.numerator,
                denominator: interval.denominator,
            },
            extendedmode: 0,
            readbuffers: 0,
            reserved: [0; 4],
        };
        self.call(&VIDIOC_S_PARM, &mut parameters)
    }

    /// The current interval, if the driver reports it.
    pub fn interval(&self) -> Option<Interval> {
        let mut parameters = c::v4l2_streamparm::zeroed();
        parameters.type_ = CAPTURE;
        self.call(&VIDIOC_G_PARM, &mut parameters).ok()?;
        // SAFETY: every member of the union consists of integers, and for this type the kernel has set this one.
        let f = unsafe { parameters.parm.capture }.timeperframe;
        Some(Interval {
            numerator: f.numerator,
            denominator: f.denominator,
        })
    }

    /// Requests `count` buffers and returns how many there are. 0 releases all of them.
    pub fn request_buffers(&self, count: u32) -> Result<u32, FailedCall> {
        let mut request = c::v4l2_requestbuffers::zeroed();
        (request.count, request.type_, request.memory) = (count, CAPTURE, MMAP);
        self.call(&VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    fn buffer(index: u32) -> c::v4l2_buffer {
        let mut buffer = c::v4l2_buffer::zeroed();
        (buffer.index, buffer.type_, buffer.memory) = (index, CAPTURE, MMAP);
        buffer
    }

    /// The offset at which buffer `index` can be mapped, and its length.
    pub fn query_buffer(&self, index: u32) -> Result<(u64, usize), FailedCall> {
        let mut buffer = Self::buffer(index);
        self.call(&VIDIOC_QUERYBUF, &mut buffer)?;
        // SAFETY: every member of the union is an integer or a raw pointer, and for mapped memory the
        // kernel has set this one.
        let offset = unsafe { buffer.m.offset };
        Ok((offset.into(), buffer.length as usize))
    }

    /// Gives buffer `index` to the driver.
    pub fn queue(&self, index: u32) -> Result<(), FailedCall> {
        self.call(&VIDIOC_QBUF, &mut Self::buffer(index))
    }

    /// Takes a filled buffer from the driver, if there is one.
    pub fn dequeue(&self) -> Result<Option<DequeuedBuffer>, FailedCall> {
        let mut buffer = Self::buffer(0);
        match self.call(&VIDIOC_DQBUF, &mut buffer) {
            Err(failed) if failed.errno == Errno::AGAIN => return Ok(None),
            result => result?,
        }
        let clock = buffer.flags & c::V4L2_BUF_FLAG_TIMESTAMP_MASK;
        let time = buffer.timestamp;
        Ok(Some(DequeuedBuffer {
            index: buffer.index,
            used: buffer.bytesused as usize,
            error: buffer.flags & c::V4L2_BUF_FLAG_ERROR != 0,
            sequence: buffer.sequence,
            captured: (clock == c::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC).then(|| {
                // The time since boot is never negative.
                let (s, us) = (time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs());
                Timestamp::from_nanos(s.saturating_mul(1_000_000_000).saturating_add(us * 1000))
            }),
        }))
    }

    pub fn stream_on(&self) -> Result<(), FailedCall> {
        self.call(&VIDIOC_STREAMON, &mut CAPTURE.cast_signed())
    }

    pub fn stream_off(&self) -> Result<(), FailedCall> {
        self.call(&VIDIOC_STREAMOFF, &mut CAPTURE.cast_signed())
    }
}

/// Converts the kernel's fixed-length text, whatever its bytes are.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{CameraNodes, OwnNodes};
    use super::*;

    #[test]
    fn text_of_any_bytes() {
        assert_eq!(text(b"HD Webcam\0\0rest"), "HD Webcam");
        assert_eq!(text(b"full"), "full");
        assert_eq!(text(&[b'a', 0xc3]), "a\u{fffd}");
    }

    /// Call numbers as the kernel's headers give them for 64-bit machines.
    #[test]
    fn call_numbers() {
        assert_eq!(VIDIOC_QUERYCAP.code, 0x8068_5600);
        assert_eq!(VIDIOC_S_FMT.code, 0xc0d0_5605);
        assert_eq!(VIDIOC_REQBUFS.code, 0xc014_5608);
        assert_eq!(VIDIOC_DQBUF.code, 0xc058_5611);
        assert_eq!(VIDIOC_STREAMON.code, 0x4004_5612);
    }

    #[test]
    fn a_node_that_is_no_video_device() {
        let node = Node::new(
            OwnNodes
                .open(Path::new("/dev/null"))
                .expect("/dev/null opens"),
        );
        let failed = node.capability().expect_err("not a camera");
        assert_eq!(
            (failed.call, failed.errno),
            ("VIDIOC_QUERYCAP", Errno::NOTTY)
        );
        assert!(node.formats().is_empty());
    }
}

//! TensorFlow Lite on the CPU, through the crate `tflitec`; XNNPACK on or off.
//!
//! tflitec copies when it reads and writes tensors, and allocates a description at every access. This file looks tensors up
//! once, when the network is loaded, and keeps their addresses.
#![expect(unsafe_code, reason = "tensors are memory that the C library owns")]

mod seam;

use std::ptr::NonNull;

use tflitec::interpreter::{Interpreter, Options};
use tflitec::model::Model;
use tflitec::tensor::DataType;

use super::{Element, Engine, ModelFile, Network, NnError, Tensor, TensorSpec};
use crate::frame::{BEHIND, TensorMut};

/// The engine.
#[derive(Clone, Copy, Debug)]
pub struct TfLite {
    xnnpack: bool,
    threads: u8,
}

impl TfLite {
    /// An engine that runs networks on `threads` threads (at least 1), and float layers through XNNPACK if `xnnpack` is set.
    #[must_use]
    pub const fn new(xnnpack: bool, threads: u8) -> Self {
        Self { xnnpack, threads }
    }
}

impl Engine for TfLite {
    fn describe(&self) -> String {
        format!(
            "tflite {} xnnpack={} threads={}",
            tflitec::tf_lite_version(),
            if self.xnnpack { "on" } else { "off" },
            self.threads
        )
    }

    fn load(&self, model: &ModelFile) -> Result<Box<dyn Network>, NnError> {
        let refuse = |why: String| NnError::Load {
            model: model.name(),
            engine: self.describe(),
            why,
            fix: if self.xnnpack {
                "is it a .tflite file? if so, try engine.xnnpack = false in the board file"
            } else {
                "is it a .tflite file for this version?"
            },
        };
        let library_error = |e: tflitec::Error| refuse(e.to_string());
        let options = Options {
            thread_count: i32::from(self.threads.max(1)),
            is_xnnpack_enabled: self.xnnpack,
        };
        // An interpreter borrows its model. Both live as long as the process, like the mapping they
        // read, so the model is leaked rather than tied up in a self-referential struct.
        let parsed: &'static Model<'static> = Box::leak(Box::new(
            Model::from_bytes(model.bytes()).map_err(library_error)?,
        ));
        // Float networks are left as they are: only the edges of some conversions in them have 8 bits.
        let eight_bits = is_eight_bits(parsed).map_err(library_error)?;
        let (interpreter, raw) =
            seam::watch(eight_bits, || Interpreter::new(parsed, Some(options)));
        let interpreter = interpreter.map_err(library_error)?;
        // SAFETY: the library made `raw` for `interpreter`, which the network below keeps beside the mover.
        let mover = raw.and_then(|raw| unsafe { seam::Mover::of(raw) });
        interpreter.allocate_tensors().map_err(library_error)?;
        let inputs = interpreter.input_tensor_count();
        if inputs != 1 {
            return Err(refuse(format!("it has {inputs} inputs instead of 1")));
        }
        let input = Place::of(&interpreter.input(0).map_err(library_error)?).map_err(refuse)?;
        let mut outputs = Vec::new();
        for i in 0..interpreter.output_tensor_count() {
            outputs
                .push(Place::of(&interpreter.output(i).map_err(library_error)?).map_err(refuse)?);
        }
        Ok(Box::new(Loaded {
            name: model.name(),
            input_spec: input.spec.clone(),
            output_specs: outputs.iter().map(|o| o.spec.clone()).collect(),
            input,
            outputs,
            mover,
            away: false,
            interpreter,
        }))
    }
}

/// Whether the network takes 8-bit numbers.
fn is_eight_bits(model: &'static Model<'static>) -> Result<bool, tflitec::Error> {
    let plain = Options {
        thread_count: 1,
        is_xnnpack_enabled: false,
    };
    let interpreter = Interpreter::new(model, Some(plain))?;
    interpreter.allocate_tensors()?;
    let kind = interpreter.input(0)?.data_type();
    Ok(matches!(kind, DataType::Int8 | DataType::UInt8))
}

/// Where a tensor is in memory. The place is valid until the interpreter resizes or reallocates tensors or is dropped;
/// [`Loaded`] never does the first two.
struct Place {
    data: NonNull<u8>,
    /// The number of elements, not bytes.
    len: usize,
    spec: TensorSpec,
}

impl Place {
    fn of(tensor: &tflitec::tensor::Tensor<'_>) -> Result<Self, String> {
        let quantised = || {
            tensor
                .quantization_parameters()
                .map(|q| (q.scale, q.zero_point))
                .ok_or_else(|| format!("tensor {} is 8-bit without a scale", tensor.name()))
        };
        let element = match tensor.data_type() {
            DataType::Float32 => Element::F32,
            DataType::UInt8 => {
                let (scale, zero_point) = quantised()?;
                Element::U8 { scale, zero_point }
            }
            DataType::Int8 => {
                let (scale, zero_point) = quantised()?;
                Element::I8 { scale, zero_point }
            }
            other => {
                return Err(format!(
                    "tensor {} holds {other:?}; float32, uint8 and int8 are supported",
                    tensor.name()
                ));
            }
        };
        let bytes = tensor.data::<u8>();
        let width = if element == Element::F32 { 4 } else { 1 };
        let shape = tensor.shape().dimensions().clone();
        let len = shape.iter().product::<usize>();
        if len == 0 || len * width != bytes.len() {
            return Err(format!(
                "tensor {} of shape {shape:?} takes {} bytes",
                tensor.name(),
                bytes.len()
            ));
        }
        // The tensor's memory was allocated by the C library, which holds pointers to it: its
        // provenance is exposed at the language boundary. Taking the pointer again from the address
        // gives one that may write, which one derived from tflitec's shared slice may not.
        let data = std::ptr::with_exposed_provenance_mut::<u8>(bytes.as_ptr().expose_provenance());
        let data = NonNull::new(data).ok_or("a tensor without memory")?;
        if width == 4 && !data.cast::<f32>().is_aligned() {
            return Err(format!(
                "tensor {} is not aligned for float32",
                tensor.name()
            ));
        }
        Ok(Self {
            data,
            len,
            spec: TensorSpec { shape, element },
        })
    }
}

/// A network in memory, with its tensors allocated.
struct Loaded {
    name: String,
    input_spec: TensorSpec,
    output_specs: Vec<TensorSpec>,
    input: Place,
    outputs: Vec<Place>,
    mover: Option<seam::Mover>,
    /// Whether the input of the last run was in the caller's memory.
    away: bool,
    interpreter: Interpreter<'static>,
}

impl Loaded {
    fn failed(&self, why: impl Into<String>) -> NnError {
        NnError::Invoke {
            model: self.name.clone(),
            why: why.into(),
        }
    }

    /// Makes the next run read its input starting at `data`.
    ///
    /// # Safety
    /// As for [`seam::Mover::put`].
    unsafe fn place_input(&mut self, data: NonNull<u8>) -> Result<(), NnError> {
        let width = if self.input.spec.element == Element::F32 {
            4
        } else {
            1
        };
        let bytes = self.input.len * width;
        let mover = self.mover.as_ref();
        // SAFETY: guaranteed by the caller.
        if !mover.is_some_and(|mover| unsafe { mover.put(data, bytes) }) {
            return Err(self.failed("it does not take its input from there"));
        }
        // Checks the tensor that has moved; does not plan again.
        let looked = self.interpreter.allocate_tensors();
        looked.map_err(|e| self.failed(e.to_string()))
    }
}

// SAFETY: the interpreter may move between threads (tflitec declares it `Send`), and the places point
// into its own tensors, which nothing else on the Rust side holds.
unsafe impl Send for Loaded {}

impl Network for Loaded {
    fn input(&self) -> &TensorSpec {
        &self.input_spec
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.output_specs
    }

    fn input_mut(&mut self) -> TensorMut<'_> {
        let Place { data, len, .. } = self.input;
        // SAFETY: `data` points to `len` elements of the type in `spec` (checked with alignment in
        // `Place::of`) in the interpreter's arena, which stays put because nothing here resizes or
        // reallocates. The borrow of `self` keeps the interpreter from running or going away while
        // the slice lives, and every bit pattern is a valid value of these types.
        unsafe {
            match self.input.spec.element {
                Element::F32 => {
                    TensorMut::F32(std::slice::from_raw_parts_mut(data.cast().as_ptr(), len))
                }
                Element::U8 { scale, zero_point } => TensorMut::U8 {
                    data: std::slice::from_raw_parts_mut(data.as_ptr(), len),
                    scale,
                    zero_point,
                },
                Element::I8 { scale, zero_point } => TensorMut::I8 {
                    data: std::slice::from_raw_parts_mut(data.cast().as_ptr(), len),
                    scale,
                    zero_point,
                },
            }
        }
    }

    fn invoke(&mut self) -> Result<(), NnError> {
        if std::mem::take(&mut self.away) {
            // SAFETY: this is the input's place in the interpreter's own memory, which stays reserved for the input.
            unsafe { self.place_input(self.input.data) }?;
        }
        let ran = self.interpreter.invoke();
        ran.map_err(|e| self.failed(e.to_string()))
    }

    fn fits(&self, memory: &[u8]) -> bool {
        self.mover.is_some()
            && matches!(self.input.spec.element, Element::U8 { .. })
            && memory.len() >= self.input.len + BEHIND
            && memory
                .as_ptr()
                .addr()
                .is_multiple_of(seam::Mover::ALIGNMENT)
    }

    fn invoke_on(&mut self, memory: &[u8]) -> Result<(), NnError> {
        if !self.fits(memory) {
            return Err(self.failed("it cannot run on memory of that kind"));
        }
        self.away = true;
        // SAFETY: `fits` has compared the length. The memory is borrowed until the run below is over, and after that the
        // input is moved again before any other run. TFLite's kernels read their inputs and write other tensors. Operators
        // that work in place are an exception, but a first layer of that kind changes no type and no shape.
        unsafe { self.place_input(NonNull::from_ref(memory).cast()) }?;
        let ran = self.interpreter.invoke();
        ran.map_err(|e| self.failed(e.to_string()))
    }

    fn output(&self, index: usize) -> Tensor<'_> {
        let Place {
            data,
            len,
            ref spec,
            ..
        } = self.outputs[index];
        // SAFETY: as in `input_mut`; outputs are read only, and running the network needs `&mut self`.
        unsafe {
            match spec.element {
                Element::F32 => Tensor::F32(std::slice::from_raw_parts(data.cast().as_ptr(), len)),
                Element::U8 { scale, zero_point } => Tensor::U8(
                    std::slice::from_raw_parts(data.as_ptr(), len),
                    scale,
                    zero_point,
                ),
                Element::I8 { scale, zero_point } => Tensor::I8(
                    std::slice::from_raw_parts(data.cast().as_ptr(), len),
                    scale,
                    zero_point,
                ),
            }
        }
    }
}

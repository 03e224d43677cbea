//! The weights of 8-bit layers inside a `.tflite` file: read as real numbers, and replaced in place.
//!
//! This module knows only the necessary part of the file's format (a FlatBuffer, schema.fbs of TensorFlow Lite). It knows
//! neither what the layers compute nor their order. The file keeps its size, its operators and everything else in it.

use std::ops::Range;

/// Why a file's weights cannot be read or replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// Not a `.tflite` file, or a damaged one.
    #[error("it is not a whole .tflite file")]
    Format,
    /// There is no such tensor, or it does not have 8 bits and a scale.
    #[error("it has no 8-bit layer {0:?}: is it a network made by scripts/train embedder?")]
    Layer(String),
    /// The weights have another shape than those in the file.
    #[error("layer {0:?} has other weights")]
    Shape(String),
    /// The weights are not numbers, or far larger than the file's own.
    #[error("layer {0:?}: its weights cannot have come from training this network")]
    Beyond(String),
}

/// A convolution as real numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Lengths of the axes: output, height, width, input; of a depthwise convolution 1, height, width, channels.
    pub shape: Vec<usize>,
    /// The weights, the last axis running fastest.
    pub weights: Vec<f32>,
    /// One bias per output channel.
    pub bias: Vec<f32>,
}

/// Where a tensor's numbers are stored in the file.
#[derive(Clone, Debug)]
struct Place {
    name: String,
    shape: Vec<usize>,
    kind: u8,
    data: Range<usize>,
    scales: Range<usize>,
    zero_points: Range<usize>,
    /// The axis that the scales belong to, with one scale per index.
    axis: usize,
}

/// `TensorType` of schema.fbs.
const INT32: u8 = 2;
const INT8: u8 = 9;

/// A `.tflite` file in memory.
#[derive(Clone, Debug)]
pub struct Weights {
    bytes: Vec<u8>,
    tensors: Vec<Place>,
}

impl Weights {
    /// Finds the tensors of a file's first graph.
    ///
    /// # Errors
    /// [`WeightsError::Format`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let tensors = places(&bytes).ok_or(WeightsError::Format)?;
        Ok(Self { bytes, tensors })
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of the file, with all layers that were replaced.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The lowest and highest value that the 8-bit tensor `name` can hold.
    ///
    /// # Errors
    /// [`WeightsError::Layer`].
    pub fn range(&self, name: &str) -> Result<[f32; 2], WeightsError> {
        let missing = || WeightsError::Layer(name.to_owned());
        let tensor = self.tensor(name, INT8).ok_or_else(missing)?;
        let step = self.scales(tensor).first().copied();
        let zero = number(&self.bytes, tensor.zero_points.start).map(i64::from_le_bytes);
        let (step, zero) = step.zip(zero).ok_or_else(missing)?;
        Ok([-128, 127].map(|stored: i64| stored.saturating_sub(zero) as f32 * step))
    }

    /// The convolution called `name`.
    ///
    /// # Errors
    /// [`WeightsError::Layer`].
    pub fn layer(&self, name: &str) -> Result<Layer, WeightsError> {
        let missing = || WeightsError::Layer(name.to_owned());
        let (weights, bias) = self.places_of(name).ok_or_else(missing)?;
        let steps = self.scales(weights);
        let stored = &self.bytes[weights.data.clone()];
        let channel = channels(weights);
        let real = |(i, byte): (usize, &u8)| f32::from(byte.cast_signed()) * steps[channel(i)];
        let bias_steps = self.scales(bias);
        let (stored_bias, _) = self.bytes[bias.data.clone()].as_chunks::<4>();
        let of = |(b, step): (&[u8; 4], &f32)| i32::from_le_bytes(*b) as f32 * step;
        Ok(Layer {
            shape: weights.shape.clone(),
            weights: stored.iter().enumerate().map(real).collect(),
            bias: stored_bias.iter().zip(&bias_steps).map(of).collect(),
        })
    }

    /// Writes `layer` in place of the convolution `name`, which reads the tensor `input` and writes the tensor
    /// `output`, whose values will lie in `range`. Weights are rounded to 8 bits for each channel, as TensorFlow Lite's
    /// specification of 8-bit quantisation requires.
    ///
    /// # Errors
    /// [`WeightsError`]; the file is then unchanged.
    pub fn replace(
        &mut self,
        name: &str,
        layer: &Layer,
        [input, output]: [&str; 2],
        range: Range<f32>,
    ) -> Result<(), WeightsError> {
        let missing = |name: &str| WeightsError::Layer(name.to_owned());
        let (weights, bias) = self.places_of(name).ok_or_else(|| missing(name))?;
        let (weights, bias) = (weights.clone(), bias.clone());
        let input = self.tensor(input, INT8).ok_or_else(|| missing(input))?;
        let input_step = self.scales(input).first().copied().unwrap_or(1.0);
        let output = self.tensor(output, INT8).ok_or_else(|| missing(output))?;
        let output = output.clone();
        let count = bias.data.len() / 4;
        if layer.shape != weights.shape
            || layer.weights.len() != weights.data.len()
            || layer.bias.len() != count
        {
            return Err(WeightsError::Shape(name.to_owned()));
        }
        let channel = channels(&weights);
        let mut most = vec![0.0_f32; count];
        for (i, value) in layer.weights.iter().enumerate() {
            let most = &mut most[channel(i)];
            *most = most.max(value.abs());
        }
        let steps: Vec<f32> = most.iter().map(|m| (m / 127.0).max(1e-8)).collect();
        for (i, value) in layer.weights.iter().enumerate() {
            let stored = (value / steps[channel(i)]).round().clamp(-127.0, 127.0) as i8;
            self.bytes[weights.data.start + i] = stored.cast_unsigned();
        }
        self.put_scales(&weights.scales, steps.iter().copied());
        let bias_steps = steps.iter().map(|s| s * input_step);
        for (i, (value, step)) in layer.bias.iter().zip(bias_steps.clone()).enumerate() {
            let stored = (value / step).round() as i32;
            self.put(bias.data.start + 4 * i, stored.to_le_bytes());
        }
        self.put_scales(&bias.scales, bias_steps);
        // Zero must be a value that can be stored, or padding and ReLU would not be exact.
        let (low, high) = (range.start.min(0.0), range.end.max(0.0));
        let step = ((high - low) / 255.0).max(1e-8);
        let zero = (-128.0 - low / step).round() as i64;
        self.put_scales(&output.scales, [step].into_iter());
        self.put(output.zero_points.start, zero.to_le_bytes());
        Ok(())
    }

    fn put<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        // `places` has checked that the tensor ends within the file.
        if let Some(bytes) = self.bytes.get_mut(at..at + N) {
            bytes.copy_from_slice(&value);
        }
    }

    fn put_scales(&mut self, place: &Range<usize>, values: impl Iterator<Item = f32>) {
        for (at, value) in place.clone().step_by(4).zip(values) {
            self.put(at, value.to_le_bytes());
        }
    }

    fn scales(&self, place: &Place) -> Vec<f32> {
        let (scales, _) = self.bytes[place.scales.clone()].as_chunks::<4>();
        scales.iter().map(|s| f32::from_le_bytes(*s)).collect()
    }

    /// The tensor with this name and type, if it is stored with a scale.
    fn tensor(&self, name: &str, kind: u8) -> Option<&Place> {
        let mut named = self.tensors.iter();
        named.find(|t| {
            t.name == name && t.kind == kind && !t.scales.is_empty() && !t.zero_points.is_empty()
        })
    }

    /// The weights and bias of a convolution, if both are complete and have one scale per channel.
    fn places_of(&self, name: &str) -> Option<(&Place, &Place)> {
        let weights = self.tensor(&format!("{name}/weights"), INT8)?;
        let bias = self.tensor(&format!("{name}/bias"), INT32)?;
        let count = *weights.shape.get(weights.axis)?;
        let whole = weights.shape.iter().product::<usize>() == weights.data.len()
            && weights.shape.len() == 4
            && (weights.axis == 0 || weights.axis == 3)
            && count * 4 == weights.scales.len()
            && count * 4 == bias.data.len()
            && count * 4 == bias.scales.len();
        whole.then_some((weights, bias))
    }
}

/// The channel of element i of a tensor of weights. The scales belong to the first axis or the last.
fn channels(weights: &Place) -> impl Fn(usize) -> usize {
    let count = weights.shape[weights.axis];
    let inner = weights.shape[weights.axis + 1..].iter().product::<usize>();
    move |i| i / inner % count
}

/// A table of the file. Its fields are found by their numbers in the schema.
#[derive(Clone, Copy)]
struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The position that the offset at `at` refers to.
fn follow(bytes: &[u8], at: usize) -> Option<usize> {
    at.checked_add(u32::from_le_bytes(number(bytes, at)?) as usize)
}

impl<'a> Table<'a> {
    /// The position of field `index`; `None` if the field has its default.
    fn field(self, index: usize) -> Option<usize> {
        let back = i32::from_le_bytes(number(self.bytes, self.at)?);
        let vtable = usize::try_from(i64::try_from(self.at).ok()? - i64::from(back)).ok()?;
        let size = usize::from(u16::from_le_bytes(number(self.bytes, vtable)?));
        let entry = 4 + 2 * index;
        if entry + 2 > size {
            return None;
        }
        match u16::from_le_bytes(number(self.bytes, vtable + entry)?) {
            0 => None,
            offset => Some(self.at + usize::from(offset)),
        }
    }

    /// The range of a vector with elements of `width` bytes; empty if the vector is absent.
    fn vector(self, index: usize, width: usize) -> Option<Range<usize>> {
        let Some(field) = self.field(index) else {
            return Some(0..0);
        };
        let at = follow(self.bytes, field)?;
        let length = u32::from_le_bytes(number(self.bytes, at)?) as usize;
        let range = at + 4..(at + 4).checked_add(length.checked_mul(width)?)?;
        (range.end <= self.bytes.len()).then_some(range)
    }

    fn table(self, index: usize) -> Option<Self> {
        let at = follow(self.bytes, self.field(index)?)?;
        Some(Self { at, ..self })
    }

    fn tables(self, index: usize) -> Option<Vec<Self>> {
        let entries = self.vector(index, 4)?;
        let each = entries.step_by(4).map(|at| {
            let at = follow(self.bytes, at)?;
            Some(Self { at, ..self })
        });
        each.collect()
    }
}

fn places(bytes: &[u8]) -> Option<Vec<Place>> {
    if bytes.get(4..8)? != b"TFL3" {
        return None;
    }
    // Model: 2 subgraphs, 4 buffers.
    let model = Table {
        bytes,
        at: follow(bytes, 0)?,
    };
    let buffers = model.tables(4)?;
    let graph = *model.tables(2)?.first()?;
    // SubGraph: 0 tensors.
    let tensors = graph.tables(0)?.into_iter().map(|tensor| {
        // Tensor: 0 shape, 1 type, 2 buffer, 3 name, 4 quantization.
        let shape = tensor
            .vector(0, 4)?
            .step_by(4)
            .map(|at| usize::try_from(i32::from_le_bytes(number(bytes, at)?)).ok());
        let kind = tensor
            .field(1)
            .map_or(Some(0), |at| bytes.get(at).copied())?;
        let buffer = match tensor.field(2) {
            Some(at) => u32::from_le_bytes(number(bytes, at)?) as usize,
            None => 0,
        };
        // Buffer: 0 data. QuantizationParameters: 2 scale, 3 zero_point, 6 quantized_dimension.
        let data = buffers.get(buffer)?.vector(0, 1)?;
        let name = String::from_utf8_lossy(bytes.get(tensor.vector(3, 1)?)?).into_owned();
        let (mut scales, mut zero_points, mut axis) = (0..0, 0..0, 0);
        if let Some(scaled) = tensor.table(4) {
            scales = scaled.vector(2, 4)?;
            zero_points = scaled.vector(3, 8)?;
            if let Some(at) = scaled.field(6) {
                axis = usize::try_from(i32::from_le_bytes(number(bytes, at)?)).ok()?;
            }
        }
        Some(Place {
            name,
            shape: shape.collect::<Option<_>>()?,
            kind,
            data,
            scales,
            zero_points,
            axis,
        })
    });
    tensors.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn embedder() -> Vec<u8> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::read(root.join("models/latchkey/embedder.tflite")).expect("part of the project")
    }

    #[test]
    fn layers_have_their_original_shapes() {
        let file = Weights::parse(embedder()).expect("a file");
        let shape = |name: &str| file.layer(name).expect("a layer").shape;
        assert_eq!(shape("top/0"), [256, 1, 1, 160]);
        assert_eq!(shape("top/1"), [1, 7, 7, 256]);
        assert_eq!(shape("top/2"), [128, 1, 1, 256]);
        let bias = file.layer("top/2").expect("a layer").bias;
        assert!(bias.len() == 128 && bias.iter().all(|b| b.is_finite()));
        assert_eq!(
            file.layer("top/9"),
            Err(WeightsError::Layer("top/9".to_owned()))
        );
    }

    #[test]
    fn replaced_weights_are_read_back_to_half_a_step_and_nothing_else_changes() {
        let before = Weights::parse(embedder()).expect("a file");
        let mut file = before.clone();
        let mut layer = file.layer("top/1").expect("a layer");
        for (i, w) in layer.weights.iter_mut().enumerate() {
            *w = 1.5 * *w + 0.01 * (i % 7) as f32;
        }
        layer.bias[3] += 0.25;
        file.replace("top/1", &layer, ["top/0", "top/1"], -3.0..5.0)
            .expect("replaced");
        let again = file.layer("top/1").expect("a layer");
        let most = layer.weights.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        for (have, want) in again.weights.iter().zip(&layer.weights) {
            assert!((have - want).abs() <= 0.5 * most / 127.0 + 1e-6);
        }
        assert!((again.bias[3] - layer.bias[3]).abs() < 1e-3);
        for other in ["top/0", "top/2", "trunk/at7/0"] {
            assert_eq!(file.layer(other), before.layer(other));
        }
        assert_eq!(file.bytes().len(), before.bytes().len());
        let output = file.tensor("top/1", INT8).expect("a tensor");
        assert!((file.scales(output)[0] - 8.0 / 255.0).abs() < 1e-6);
        layer.bias.pop();
        let error = file.replace("top/1", &layer, ["top/0", "top/1"], 0.0..1.0);
        assert_eq!(error, Err(WeightsError::Shape("top/1".to_owned())));
    }

    proptest! {
        /// Any damage to a file causes an error, not a panic.
        #[test]
        fn a_damaged_file_causes_no_panic(cut in 0_usize..4000, at in 0_usize..200_000, with: u8) {
            let mut bytes = embedder();
            let place = at % bytes.len();
            bytes[place] = with;
            if let Ok(file) = Weights::parse(bytes.clone()) {
                let _ = file.layer("top/1");
            }
            bytes.truncate(cut);
            prop_assert!(Weights::parse(bytes).is_err());
        }
    }
}

//! Other weights for the top layers of a verified network. They are all that training on the device may change in it.
//!
//! A patch is numbers, not a file or a program: it contains no operators, shapes or order. It is checked against the network
//! into which it is put. The network's size and everything else in it stay the same.

use serde::{Deserialize, Serialize};

use super::weights::{Layer, Weights, WeightsError};

/// The layers, each with the names of the tensor that it reads and of the tensor that it writes.
const LAYERS: [(&str, [&str; 2]); 3] = [
    ("top/0", ["trunk", "top/0"]),
    ("top/1", ["top/0", "top/1"]),
    ("top/2", ["top/1", "embedding"]),
];

/// No weight, bias or output may be more than this many times as large as the largest one in the original network. Training
/// takes small steps from the original values, so a value far beyond them cannot come from training.
const MOST: f32 = 16.0;

/// Weights for one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatchedLayer {
    /// As in [`Layer::weights`].
    pub weights: Vec<f32>,
    /// As in [`Layer::bias`].
    pub bias: Vec<f32>,
    /// Lowest and highest value of the layer's output.
    pub range: [f32; 2],
}

/// Weights for the three top layers, in the order in which the layers compute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Patch(pub [PatchedLayer; 3]);

impl Patch {
    /// The number of values in the patch.
    #[must_use]
    pub fn values(&self) -> usize {
        let of = |l: &PatchedLayer| l.weights.len() + l.bias.len() + l.range.len();
        self.0.iter().map(of).sum()
    }

    /// The weights that a network already has in its top layers.
    ///
    /// # Errors
    /// [`WeightsError`] if the network has no such layers.
    pub fn of(network: &Weights) -> Result<Self, WeightsError> {
        let of = |(name, [_, output]): (&str, [&str; 2])| {
            let layer = network.layer(name)?;
            Ok(PatchedLayer {
                weights: layer.weights,
                bias: layer.bias,
                range: network.range(output)?,
            })
        };
        let [a, b, c] = LAYERS;
        Ok(Self([of(a)?, of(b)?, of(c)?]))
    }

    /// Puts the patch into `network`, after all of it has passed the checks.
    ///
    /// # Errors
    /// [`WeightsError`] if the network has no such layers, or a number cannot have come from training it; the network is
    /// then unchanged.
    pub fn put(&self, network: &mut Weights) -> Result<(), WeightsError> {
        let own = Self::of(network)?;
        for ((name, _), (patched, own)) in LAYERS.into_iter().zip(self.0.iter().zip(&own.0)) {
            check(patched, name, own)?;
        }
        for ((name, ends), patched) in LAYERS.into_iter().zip(&self.0) {
            let layer = Layer {
                shape: network.layer(name)?.shape,
                weights: patched.weights.clone(),
                bias: patched.bias.clone(),
            };
            network.replace(name, &layer, ends, patched.range[0]..patched.range[1])?;
        }
        Ok(())
    }

    /// The bytes of `network`, a complete `.tflite` file, with the patch applied.
    ///
    /// # Errors
    /// As [`Patch::put`].
    pub fn applied(&self, network: &[u8]) -> Result<Vec<u8>, WeightsError> {
        let mut network = Weights::parse(network.to_vec())?;
        self.put(&mut network)?;
        Ok(network.into_bytes())
    }
}

fn check(patched: &PatchedLayer, name: &str, own: &PatchedLayer) -> Result<(), WeightsError> {
    let [low, high] = own.range;
    if (patched.weights.len(), patched.bias.len()) != (own.weights.len(), own.bias.len()) {
        return Err(WeightsError::Shape(name.to_owned()));
    }
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    // Tests whether values are within the limits, so that a NaN fails.
    let within = |values: &[f32], most: f32| values.iter().all(|v| v.abs() <= most);
    let reach = MOST * (high - low);
    let [from, to] = patched.range;
    let fits = within(&patched.weights, MOST * largest(&own.weights))
        // A bias is a value of the output, and may have been zero.
        && within(&patched.bias, MOST * largest(&own.bias).max(high - low))
        && within(&patched.range, reach)
        && from <= to;
    if fits {
        Ok(())
    } else {
        Err(WeightsError::Beyond(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn embedder() -> Weights {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("models/latchkey/embedder.tflite");
        Weights::parse(std::fs::read(file).expect("part of the project")).expect("a file")
    }

    fn as_it_is(network: &Weights) -> Patch {
        Patch::of(network).expect("its layers")
    }

    #[test]
    fn the_networks_own_weights_change_it_by_rounding_only() {
        let network = embedder();
        let mut patched = network.clone();
        as_it_is(&network).put(&mut patched).expect("fits");
        for (name, [_, output]) in LAYERS {
            let [was, is] = [&network, &patched].map(|n| n.layer(name).expect("a layer"));
            let most = was.weights.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= most / 127.0;
            assert!(was.weights.iter().zip(&is.weights).all(near), "{name}");
            let [was, is] = [&network, &patched].map(|n| n.range(output).expect("a tensor"));
            assert!((was[0] - is[0]).abs() < 0.02 * (was[1] - was[0]), "{name}");
        }
        let bytes = as_it_is(&network).applied(network.bytes()).expect("fits");
        assert_eq!(bytes, patched.bytes());
    }

    proptest! {
        /// A single wrong number or length in any place leaves the network unchanged.
        #[test]
        fn one_wrong_number_leaves_the_network_unchanged(
            layer in 0_usize..3, part in 0_usize..3, at: usize, kind in 0_usize..5,
        ) {
            let network = embedder();
            let mut patch = as_it_is(&network);
            let wrong = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e9, -1e9][kind];
            let patched = &mut patch.0[layer];
            match part {
                0 => { let n = patched.weights.len(); patched.weights[at % n] = wrong; }
                1 => { let n = patched.bias.len(); patched.bias[at % n] = wrong; }
                _ => patched.range[at % 2] = wrong,
            }
            let mut into = network.clone();
            prop_assert!(matches!(patch.put(&mut into), Err(WeightsError::Beyond(_))));
            prop_assert!(into.bytes() == network.bytes());
            let mut patch = as_it_is(&network);
            match part {
                0 => patch.0[layer].weights.truncate(at % 100),
                1 => patch.0[layer].bias.push(0.0),
                _ => patch.0[layer].bias.clear(),
            }
            prop_assert!(matches!(patch.put(&mut into), Err(WeightsError::Shape(_))));
            prop_assert!(into.bytes() == network.bytes());
        }
    }
}

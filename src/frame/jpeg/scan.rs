//! The units of a scan, one after another, with the restart markers between them, and what to do if data or markers are
//! missing.

use super::huffman::Bits;

/// The most bytes of padding between the last unit of a scan and the next marker. If there are more, they are not padding,
/// and some of the units are not what was sent.
const PADDING: usize = 64;

/// Which units of a scan could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// The number of lost units.
    pub count: u32,
    /// The first lost unit.
    pub first: u32,
    /// Whether some units are not what was sent, or are not in their places, because data were left over or markers
    /// contradict each other.
    pub shifted: bool,
    /// Whether the data end without a marker, so that the last units are missing rather than some in the middle.
    pub open: bool,
}

impl Lost {
    fn add(&mut self, first: u32, end: u32) {
        if first < end {
            if self.count == 0 {
                self.first = first;
            }
            self.count += end - first;
        }
    }
}

/// Reads `units` units with `read`, which receives the unit's number and whether predictions start again there. `read`
/// returns false if the data cannot be such a unit. Returns which units are lost, and where the data end.
///
/// If a unit cannot be read, the rest of its interval is lost, and reading continues at the next restart marker. The
/// markers' numbers show how many further intervals are lost. If a marker is followed by the one that comes after the
/// expected marker, only its own number is wrong. A marker whose number is behind the expected one is skipped, as in
/// libjpeg. Unlike in libjpeg, the data may continue without a marker; and if markers contradict each other, everything that
/// follows is lost.
pub(super) fn units(
    mut bits: Bits<'_>,
    units: u32,
    restart: u32,
    read: &mut impl FnMut(&mut Bits<'_>, u32, bool) -> bool,
) -> (Lost, usize) {
    let interval = if restart == 0 { units } else { restart };
    let mut lost = Lost::default();
    let (mut unit, mut due) = (0, 0_u8);
    while unit < units {
        let end = units.min(unit.saturating_add(interval));
        let mut good = unit;
        while good < end && read(&mut bits, good, good == unit) && !bits.ran_out() {
            good += 1;
        }
        lost.add(good, end);
        unit = end;
        if unit == units {
            break;
        }
        let at_marker = bits.align();
        if good == end && !at_marker {
            // Perhaps only the marker is missing.
            due = (due + 1) % 8;
            continue;
        }
        loop {
            let (marker, _) = bits.seek_marker();
            let Some(number @ 0..=7) = marker.map(|m| m.wrapping_sub(0xd0)) else {
                lost.add(unit, units);
                lost.open = marker.is_none();
                return (lost, bits.place());
            };
            let next = |number: u8| 0xd0 + (number + 1) % 8;
            let after = bits.marker_after();
            let last = !after.is_some_and(|m| matches!(m, 0xd0..=0xd7));
            let ahead = match number.wrapping_sub(due) % 8 {
                0 => 0,
                // Only the marker's number is wrong.
                _ if after == Some(next(due)) => 0,
                n @ 1..=5 if last || after == Some(next(number)) => n,
                6 | 7 => {
                    bits.pass_marker();
                    continue;
                }
                _ => {
                    lost.add(unit, units);
                    lost.shifted = true;
                    return (lost, bits.place());
                }
            };
            bits.pass_marker();
            let skipped = interval.saturating_mul(u32::from(ahead));
            let to = units.min(unit.saturating_add(skipped));
            lost.add(unit, to);
            unit = to;
            due = (due + ahead + 1) % 8;
            break;
        }
    }
    bits.forgive();
    bits.align();
    let (marker, left) = bits.seek_marker();
    lost.shifted = left > PADDING;
    lost.open = marker.is_none();
    (lost, bits.place())
}

/// Whether zeros have replaced a lost packet: `data` has more zeros in a row than units are ever coded as. `tables`
/// contains, per table, whether zeros mean a block without detail. If they do in all tables, a run of zeros proves nothing.
pub(super) fn has_gap(data: &[u8], mut tables: impl Iterator<Item = bool>) -> bool {
    const GAP: usize = 32;
    let mut run = 0;
    let longest = data.iter().fold(0, |longest, byte| {
        run = if *byte == 0 { run + 1 } else { 0 };
        usize::max(longest, run)
    });
    longest >= GAP && tables.any(|zeros_are_plain| !zeros_are_plain)
}

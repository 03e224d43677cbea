//! Entropy-coded data of a JPEG scan: the bits between two markers, and the Huffman tables that read them (ITU-T T.81,
//! annexes C and F).

/// Bits that the table looks up at once.
const FAST: u32 = 9;

/// A Huffman table, ready for decoding.
pub(super) struct Table {
    /// Indexed by the next [`FAST`] bits: the length of the code in the upper byte and its value in the lower byte, or 0 if
    /// the code is longer.
    fast: [u16; 1 << FAST],
    /// Indexed by the length minus one: the last code of that length, or -1.
    last: [i32; 16],
    /// Indexed by the length minus one: the place of a code's value minus the code.
    delta: [i32; 16],
    values: [u8; 256],
}

impl Table {
    /// Builds the table from the numbers of codes of 1 to 16 bits and the codes' values. `None` if such codes cannot exist.
    pub fn new(lengths: &[u8; 16], values: &[u8]) -> Option<Self> {
        let mut table = Self {
            fast: [0; 1 << FAST],
            last: [-1; 16],
            delta: [0; 16],
            values: [0; 256],
        };
        table
            .values
            .get_mut(..values.len())?
            .copy_from_slice(values);
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(lengths) {
            let i = length as usize - 1;
            table.delta[i] = place as i32 - code as i32;
            for _ in 0..count {
                let value = *values.get(place)?;
                if code >= 1 << length {
                    return None;
                }
                if length <= FAST {
                    let shift = FAST - length;
                    let first = (code << shift) as usize;
                    table.fast[first..first + (1 << shift)]
                        .fill((length as u16) << 8 | u16::from(value));
                }
                table.last[i] = code as i32;
                (code, place) = (code + 1, place + 1);
            }
            code <<= 1;
        }
        (place == values.len()).then_some(table)
    }
}

impl Table {
    /// The value of the code that is all zeros.
    pub const fn of_zeros(&self) -> u8 {
        self.values[0]
    }
}

/// The standard tables of annex K.3, which Motion JPEG pictures omit.
pub(super) fn usual(chroma: bool, ac: bool) -> Option<Table> {
    let (lengths, values) = usual_of(chroma, ac);
    Table::new(lengths, values)
}

/// The numbers of codes of each length, and the codes' values.
pub(super) fn usual_of(chroma: bool, ac: bool) -> (&'static [u8; 16], &'static [u8]) {
    match (chroma, ac) {
        (false, false) => (&[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &DC),
        (true, false) => (&[0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &DC),
        (false, true) => (
            &[0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
            &AC_LUMA,
        ),
        (true, true) => (
            &[0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
            &AC_CHROMA,
        ),
    }
}

const DC: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
#[rustfmt::skip]
const AC_LUMA: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14, 0x32,
    0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16,
    0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45,
    0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94,
    0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6,
    0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8,
    0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
];
#[rustfmt::skip]
const AC_CHROMA: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32, 0x81,
    0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34,
    0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44,
    0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92,
    0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4,
    0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
    0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
];

/// Reads the bits of a scan. At the next marker it stops and returns zeros.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The position of the next byte to load; at a marker, the position of its 0xff.
    at: usize,
    /// The loaded bits, starting at the most significant bit.
    loaded: u64,
    count: u32,
    /// How many of the loaded bits, at their end, are zeros that do not come from the data.
    padding: u32,
    /// How many of these zeros were read.
    borrowed: u32,
}

impl<'a> Bits<'a> {
    /// Starts reading at byte `at` of `data`.
    pub const fn new(data: &'a [u8], at: usize) -> Self {
        Self {
            data,
            at,
            loaded: 0,
            count: 0,
            padding: 0,
            borrowed: 0,
        }
    }

    /// Loads bits until there are at least 48, which is more than a code and its value need.
    #[inline]
    fn load(&mut self) {
        if let Some(bytes) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_be_bytes(*bytes);
            // No byte of the word is 0xff.
            const ONES: u64 = 0x0101_0101_0101_0101;
            if (!word).wrapping_sub(ONES) & word & (ONES << 7) == 0 && self.count < 64 {
                // Bits that do not fill a whole byte are loaded again next time, with the same result.
                self.loaded |= word >> self.count;
                let bytes = (64 - self.count) / 8;
                self.at += bytes as usize;
                self.count += bytes * 8;
                return;
            }
        }
        while self.count <= 56 {
            let byte = match self.data.get(self.at) {
                Some(0xff) if self.data.get(self.at + 1) == Some(&0) => {
                    self.at += 2;
                    0xff
                }
                Some(&byte) if byte != 0xff => {
                    self.at += 1;
                    byte
                }
                // A marker, or the end of the data.
                _ => {
                    self.padding += 8;
                    0
                }
            };
            self.loaded |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    #[inline]
    fn drop(&mut self, bits: u32) {
        self.loaded <<= bits;
        self.count -= bits;
        if self.count < self.padding {
            self.borrowed += self.padding - self.count;
            self.padding = self.count;
        }
    }

    /// Whether more bits were read than exist.
    #[inline]
    pub const fn ran_out(&self) -> bool {
        self.borrowed > 0
    }

    /// The value of the next code; `None` if there is no such code.
    #[inline]
    pub fn decode(&mut self, table: &Table) -> Option<u8> {
        if self.count < 32 {
            self.load();
        }
        let entry = table.fast[(self.loaded >> (64 - FAST)) as usize];
        if entry != 0 {
            self.drop(u32::from(entry >> 8));
            return Some(entry as u8);
        }
        let code = (self.loaded >> 48) as i32;
        for length in FAST + 1..=16 {
            let i = length as usize - 1;
            let code = code >> (16 - length);
            if code <= table.last[i] {
                self.drop(length);
                return table.values.get((code + table.delta[i]) as usize).copied();
            }
        }
        None
    }

    /// The next `bits` bits, at most 16, as a number.
    #[inline]
    pub fn read(&mut self, bits: u32) -> u32 {
        if bits == 0 {
            return 0;
        }
        if self.count < bits {
            self.load();
        }
        let value = (self.loaded >> (64 - bits)) as u32;
        self.drop(bits);
        value
    }

    /// The next `bits` bits as a signed value (T.81, F.2.2.1: EXTEND).
    #[inline]
    pub fn signed(&mut self, bits: u32) -> i32 {
        if bits == 0 {
            return 0;
        }
        let value = self.read(bits) as i32;
        if value < 1 << (bits - 1) {
            value - (1 << bits) + 1
        } else {
            value
        }
    }

    /// Continues at the next whole byte. Returns whether a marker or the end follows there.
    pub fn align(&mut self) -> bool {
        let odd = (self.count - self.padding) % 8;
        if self.count > self.padding {
            self.drop(odd);
        }
        self.load();
        self.count == self.padding
    }

    /// Skips the remaining data before the next marker. Returns the marker's second byte and how many of the skipped bytes
    /// are not 0; `None` at the end of the data. The next position is the marker itself.
    pub fn seek_marker(&mut self) -> (Option<u8>, usize) {
        let mut dropped = 0;
        while self.count >= self.padding + 8 {
            dropped += usize::from(self.loaded >> 56 != 0);
            self.drop(8);
        }
        loop {
            match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (None, _) | (Some(0xff), None) => return (None, dropped),
                // Fill bytes come before a marker.
                (Some(0xff), Some(0xff)) => self.at += 1,
                (Some(0xff), Some(&marker)) if marker != 0 => return (Some(marker), dropped),
                (Some(&byte), _) => {
                    dropped += usize::from(byte != 0);
                    self.at += 1;
                }
            }
        }
    }

    /// Continues after the marker at the current position.
    pub fn pass_marker(&mut self) {
        *self = Self::new(self.data, self.at + 2);
    }

    /// The current position, after [`Bits::seek_marker`].
    pub const fn place(&self) -> usize {
        self.at
    }

    /// The second byte of the marker after the one at the current position.
    pub fn marker_after(&self) -> Option<u8> {
        let mut rest = *self;
        rest.pass_marker();
        rest.seek_marker().0
    }

    /// Forgets that zeros were read in place of missing bits.
    pub fn forgive(&mut self) {
        self.borrowed = 0;
    }
}

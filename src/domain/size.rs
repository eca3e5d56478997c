//! Sizes in texts for operators: binary units, never rounded up.

use std::fmt;

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// `512 bytes`, `64 KiB`, `127.9 MiB`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let Some((shift, unit)) = units.into_iter().find(|(shift, _)| self.0 >> shift > 0) else {
            return if self.0 == 1 { f.write_str("1 byte") } else { write!(f, "{} bytes", self.0) };
        };
        let whole = self.0 >> shift;
        // Ten bits are enough for a tenth, and no product overflows.
        match (((self.0 >> (shift - 10)) & 1023) * 10) >> 10 {
            0 => write!(f, "{whole} {unit}"),
            tenths => write!(f, "{whole}.{tenths} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shown_in_binary_units_and_never_rounded_up() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (64 << 10, "64 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (128 << 20, "128 MiB"),
            ((128 << 20) - 1, "127.9 MiB"),
            (3 << 29, "1.5 GiB"),
            (1 << 40, "1 TiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), shown, "{bytes}");
        }
    }
}

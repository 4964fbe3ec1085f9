//! The time in the test picture: the glass-to-glass stamp of the tests (`tests/harness/stamp.js` draws the same), so that a
//! viewer far away can tell how old the picture is.

/// Cells in a row; there are two rows in the top eighth of the picture.
const CELLS: usize = 24;

/// Writes milliseconds since 1970 (the lower 32 bits), a sequence number and their CRC-8 into a picture's luma plane.
pub(crate) fn draw(luma: &mut [u8], stride: usize, (width, height): (usize, usize), millis: u64, sequence: u8) {
    let [.., a, b, c, d] = millis.to_be_bytes();
    let mut bytes = [a, b, c, d, sequence, 0];
    bytes[5] = crc8(&bytes[..5]);
    for cell in 0..2 * CELLS {
        let white = bytes[cell / 8] >> (7 - cell % 8) & 1 == 1;
        let (column, top) = (cell % CELLS, if cell < CELLS { 0 } else { (height + 8) / 16 });
        let (left, right) = ((column * width + 12) / CELLS, ((column + 1) * width + 12) / CELLS);
        for line in top..top + (height + 8) / 16 {
            let row = line * stride;
            if let Some(cells) = luma.get_mut(row + left..row + right.min(width)) {
                cells.fill(if white { 235 } else { 16 });
            }
        }
    }
}

/// CRC-8 with the polynomial 07, from A5.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0xa5, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cells_are_the_bits() {
        let (width, height) = (240, 160);
        let mut luma = vec![128; width * height];
        draw(&mut luma, width, (width, height), 0x8000_0001, 0xff);
        let cell = |n: usize| luma[(n / CELLS * height / 16 + 3) * width + n % CELLS * width / CELLS + 4];
        assert_eq!((cell(0), cell(1), cell(31), cell(32), cell(39)), (235, 16, 235, 235, 235));
        assert_eq!(luma[(height / 8 + 1) * width], 128, "below the stamp nothing is changed");
        assert_ne!(crc8(&[0, 1]), crc8(&[1, 0]));
    }
}

// Draws the glass-to-glass stamp: top eighth of the picture, two rows of 24 black or white cells.
// Bits, highest first: 32 of milliseconds since 1970, 8 of a sequence number, 8 of CRC-8 (polynomial 07, start A5).
(() => {
  const crc8 = bytes => bytes.reduce((crc, byte) => {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 0x80 ? (crc << 1 ^ 0x07) & 0xff : crc << 1;
    return crc;
  }, 0xa5);
  let sequence = 0;
  window.drawStamp = (context, width, height) => {
    const millis = Date.now();
    sequence = sequence + 1 & 0xff;
    const bytes = [24, 16, 8, 0].map(shift => Math.floor(millis / 2 ** shift) & 0xff).concat(sequence);
    bytes.push(crc8(bytes));
    for (let cell = 0; cell < 48; cell++) {
      context.fillStyle = bytes[cell >> 3] >> (7 - (cell & 7)) & 1 ? '#fff' : '#000';
      const column = cell % 24, top = cell < 24 ? 0 : Math.round(height / 16);
      const left = Math.round(column * width / 24), right = Math.round((column + 1) * width / 24);
      context.fillRect(left, top, right - left, Math.round(height / 16));
    }
  };
  // Over the whole page, `rate` times a second.
  window.showStamp = rate => {
    const canvas = document.createElement('canvas');
    canvas.style.cssText = 'position:fixed;left:0;top:0;width:100vw;height:12.5vh;z-index:2147483647;pointer-events:none';
    // A scroll bar would take its part of the stamp.
    document.documentElement.style.overflow = 'hidden';
    document.documentElement.append(canvas);
    let next = 0;
    const draw = now => {
      requestAnimationFrame(draw);
      if (now < next) return;
      // Half a refresh of slack, so that 30 of 60 refreshes are taken and not 20.
      next = Math.max(next, now - 1000 / rate) + 1000 / rate - (next ? 0 : 8);
      canvas.width = innerWidth;
      canvas.height = Math.round(innerHeight / 8);
      window.drawStamp(canvas.getContext('2d', { alpha: false }), innerWidth, innerHeight);
    };
    requestAnimationFrame(draw);
  };
})();

/** Where a student's or teacher's picture comes from: the screen, the camera, or a picture from the device. */

export type Kind = 'screen' | 'camera' | 'picture';

export interface Capture {
  kind: Kind;
  stream: MediaStream;
  /** Gives back what holds the stream alive. */
  release: () => void;
}

/** What this browser can capture, and why not if it can't. */
export type Ability = 'screen' | 'ipad' | 'android' | 'none' | 'insecure';

export function ability(): Ability {
  if (!isSecureContext) return 'insecure';
  const touchMac = /Macintosh/.test(navigator.userAgent) && navigator.maxTouchPoints > 1;
  if (/iPad|iPhone/.test(navigator.userAgent) || touchMac) return 'ipad';
  // Some Android browsers have the function and always refuse it.
  if (/Android/.test(navigator.userAgent)) return 'android';
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function' ? 'screen' : 'none';
}

/** Chromebooks of four cores or less encode three layers of 720p, not of 1080p. */
const tallest = (): number => ((navigator.hardwareConcurrency ?? 4) > 4 ? 1080 : 720);

const of = (kind: Kind, stream: MediaStream): Capture => ({
  kind,
  stream,
  release: () => stream.getTracks().forEach((track) => track.stop()),
});

/**
 * A screen on which nothing moves still gives so many pictures a second. By themselves browsers give one. A lost packet shows
 * only when the next one comes, and is sent again only while it is young: the panel waits 120 ms, the hub keeps it for 200 ms.
 */
const FEWEST = 15;

/** Must be called straight from a tap: browsers open the chooser only then. */
export async function captureScreen(): Promise<Capture> {
  const height = tallest();
  const video = { width: { max: (height * 16) / 9 }, height: { max: height }, frameRate: { ideal: 30, max: 30 } };
  const stream = await navigator.mediaDevices.getDisplayMedia({ video, audio: true });
  // The chooser takes no lower bound, the track does.
  const flowing = { ...video, frameRate: { ...video.frameRate, min: FEWEST } };
  for (const track of stream.getVideoTracks()) await track.applyConstraints(flowing).catch(() => undefined);
  return of('screen', stream);
}

export async function captureCamera(): Promise<Capture> {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: { ideal: 'environment' }, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { max: 30 } },
    audio: false,
  });
  return of('camera', stream);
}

const PICTURE = { width: 1280, height: 720, framesPerSecond: 5 };

/** A still picture as a slow video of a size that every encoder takes. */
export async function capturePicture(file: File): Promise<Capture> {
  const image = await createImageBitmap(file);
  const canvas = document.createElement('canvas');
  canvas.width = PICTURE.width;
  canvas.height = PICTURE.height;
  const context = canvas.getContext('2d', { alpha: false });
  if (!context) throw new DOMException('no canvas', 'NotReadableError');
  const scale = Math.min(PICTURE.width / image.width, PICTURE.height / image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  let odd = false;
  const paint = () => {
    context.drawImage(image, (PICTURE.width - width) / 2, (PICTURE.height - height) / 2, width, height);
    // A canvas gives no frame while nothing changes, and a panel takes silence for a lost signal.
    odd = !odd;
    context.fillStyle = odd ? '#000' : '#010101';
    context.fillRect(PICTURE.width - 2, PICTURE.height - 2, 2, 2);
  };
  context.imageSmoothingQuality = 'high';
  paint();
  const timer = setInterval(paint, 1000 / PICTURE.framesPerSecond);
  const capture = of('picture', canvas.captureStream(PICTURE.framesPerSecond));
  return {
    ...capture,
    release: () => {
      clearInterval(timer);
      image.close();
      capture.release();
    },
  };
}

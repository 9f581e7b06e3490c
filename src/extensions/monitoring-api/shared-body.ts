import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';

/** The loop is not held up for longer at a time. */
const SLICE_MS = 5;
const GZIP_LEVEL = 1;

/**
 * A body that is made once, while it is read, for all who read it. Nobody's pace holds up another reader: what has been
 * made is kept until the last reader has gone.
 */
export class SharedBody {
  readonly #source: AsyncIterator<Buffer>;
  readonly #made: Buffer[] = [];
  #isDone = false;
  #making: Promise<void> | undefined;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async *read(): AsyncGenerator<Buffer> {
    for (let next = 0; ; next++) {
      while (next >= this.#made.length && !this.#isDone) await this.#more();
      const piece = this.#made[next];
      if (!piece) return;
      yield piece;
    }
  }

  #more(): Promise<void> {
    this.#making ??= this.#source
      .next()
      .then(({ value, done }) => {
        if (done) this.#isDone = true;
        else this.#made.push(value);
      })
      .finally(() => {
        this.#making = undefined;
      });
    return this.#making;
  }
}

/** Hands out turns of the event loop, one at a time: whatever is made in one, everybody else has their turn after it. */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Resolves in a turn of its own. */
  next(): Promise<void> {
    this.#last = this.#last.then(() => new Promise((resolve) => setImmediate(resolve)));
    return this.#last;
  }
}

/** Joins pieces for as long as a slice lasts, one slice per turn. @param now milliseconds */
export async function* inSlices(pieces: Iterator<string>, turns: Turns, now: () => number): AsyncGenerator<Buffer> {
  for (let isDone = false; !isDone; ) {
    await turns.next();
    const end = now() + SLICE_MS;
    let text = '';
    do {
      const { value, done } = pieces.next();
      if (done) isDone = true;
      else text += value;
    } while (!isDone && now() < end);
    if (text !== '') yield Buffer.from(text);
  }
}

export function gzipped(body: SharedBody): AsyncIterable<Buffer> {
  const gzip = createGzip({ level: GZIP_LEVEL });
  // A fault on the way in ends the way out; whoever reads it hears of it there.
  pipeline(Readable.from(body.read()), gzip, () => {});
  return gzip;
}

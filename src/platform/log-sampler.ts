export interface SamplingOptions {
  /** Milliseconds of one window. */
  readonly tick: number;
  /** Lines of one level and message that pass in a window. */
  readonly initial: number;
  /** After them every so-manieth passes; 0: none. */
  readonly thereafter: number;
}

interface Window {
  endsAt: number;
  seen: number;
  /** Lines that were left out since one passed. */
  dropped: number;
}

/** Messages are constants; a plugin's may not be. */
const MOST_WINDOWS = 1_000;

/** Lets the first lines of a kind through and then a few, so that a fault of thousands does not flood the log. Pure, with injected time. */
export class LogSampler {
  readonly #options: SamplingOptions;
  readonly #windows = new Map<string, Window>();
  readonly #seenCodes = new Set<string>();

  constructor(options: SamplingOptions) {
    this.#options = options;
  }

  /**
   * @param code of the error that the line carries: the first line with a code always passes
   * @param now milliseconds
   * @returns how many lines were left out before this one; undefined when this one is left out
   */
  admit(level: string, message: string, code: string | undefined, now: number): number | undefined {
    const { tick, initial, thereafter } = this.#options;
    const key = `${level} ${message}`;
    let window = this.#windows.get(key);
    if (!window || now >= window.endsAt) {
      if (this.#windows.size >= MOST_WINDOWS) this.#windows.clear();
      window = { endsAt: now + tick, seen: 0, dropped: window?.dropped ?? 0 };
      this.#windows.set(key, window);
    }
    window.seen++;
    const isNewCode = code !== undefined && !this.#seenCodes.has(code);
    if (isNewCode) this.#seenCodes.add(code);
    const late = window.seen - initial;
    const passes = isNewCode || late <= 0 || (thereafter > 0 && late % thereafter === 0);
    if (!passes) {
      window.dropped++;
      return undefined;
    }
    const { dropped } = window;
    window.dropped = 0;
    return dropped;
  }
}

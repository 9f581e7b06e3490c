const KEY_BYTES = 8;
/** Of a stored key with its columns: key, seconds, value. */
const ROW_BYTES = KEY_BYTES + 8;
const FIRST_CAPACITY = 16;
const EMPTY = -1;
/** Shared by all sets that hold nothing. */
const NO_NUMBERS = new Uint32Array(0);
const NO_PLACES = new Int32Array(0);

/**
 * A set of 8-byte keys in the order in which they came, each with three numbers: the read that showed it last, its time in
 * whole seconds since the epoch (0: none), and 32 bits of whoever uses the set. Typed arrays hold a key in some 30 bytes, a
 * fifth of what a `Map` takes: a fleet has millions.
 */
export class KeySet {
  #high = NO_NUMBERS;
  #low = NO_NUMBERS;
  #stamps = NO_NUMBERS;
  #seconds = NO_NUMBERS;
  #values = NO_NUMBERS;
  /** Open addressing: hash of a key to its place in the arrays. */
  #places = NO_PLACES;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param key eight one-byte characters, as `digest` makes them */
  has(key: string): boolean {
    return this.#find(highOf(key), lowOf(key)) >= 0;
  }

  /** The value of a key; undefined: it is not here. */
  valueOf(key: string): number | undefined {
    const place = this.#find(highOf(key), lowOf(key));
    return place < 0 ? undefined : this.#values[place];
  }

  /** A read has shown this key. @returns whether it is here */
  touch(key: string, stamp: number): boolean {
    const place = this.#find(highOf(key), lowOf(key));
    if (place >= 0) this.#stamps[place] = stamp;
    return place >= 0;
  }

  /** Adds a key, or gives a known one, which keeps its place, other numbers. @returns whether anything is another */
  put(key: string, stamp: number, seconds: number, value = 0): boolean {
    return this.#put(highOf(key), lowOf(key), stamp, seconds, value);
  }

  /** Lets the oldest comers go. */
  dropOldest(count: number): void {
    this.#keep((place) => place >= count);
  }

  /** The time that so many keys reach or are after, in seconds; 0 when there are not so many with a time. */
  timeOfNewest(count: number): number {
    const dated = this.#seconds.slice(0, this.#size).filter((seconds) => seconds > 0);
    return dated.length < count ? 0 : dated.sort()[dated.length - count]!;
  }

  /** Lets keys go whose time is before this. Those without a time stay. */
  dropBefore(seconds: number): void {
    this.#keep((place) => this.#seconds[place] === 0 || this.#seconds[place]! >= seconds);
  }

  /** Lets keys go that no read since `stamp` has shown, the first comers first, until `least` are left. */
  expire(stamp: number, least: number): void {
    let spare = this.#size - least;
    if (spare <= 0 || !this.#stamps.subarray(0, this.#size).some((last) => last < stamp)) return;
    this.#keep((place) => {
      if (spare <= 0 || this.#stamps[place]! >= stamp) return true;
      spare--;
      return false;
    });
  }

  clear(): void {
    this.#size = 0;
    this.#resize(0);
  }

  /** All keys with time and value, in their order, as base64. */
  pack(): string {
    const bytes = Buffer.alloc(this.#size * ROW_BYTES);
    for (let place = 0; place < this.#size; place++)
      for (const [n, column] of [this.#high, this.#low, this.#seconds, this.#values].entries())
        bytes.writeUInt32BE(column[place]!, place * ROW_BYTES + n * 4);
    return bytes.toString('base64');
  }

  static unpack(text: string): KeySet {
    const bytes = Buffer.from(text, 'base64');
    const keys = new KeySet();
    for (let at = 0; at + ROW_BYTES <= bytes.length; at += ROW_BYTES) {
      const [high, low, seconds, value] = [0, 4, 8, 12].map((n) => bytes.readUInt32BE(at + n));
      keys.#put(high!, low!, 0, seconds!, value!);
    }
    return keys;
  }

  #put(high: number, low: number, stamp: number, seconds: number, value: number): boolean {
    let place = this.#find(high, low);
    const isNew = place < 0;
    if (isNew) {
      if (this.#size === this.#high.length) this.#resize(Math.max(FIRST_CAPACITY, this.#size * 2));
      place = this.#size++;
      this.#high[place] = high;
      this.#low[place] = low;
      this.#index(place);
    }
    const isOther = isNew || this.#values[place] !== value || this.#seconds[place] !== seconds;
    this.#stamps[place] = stamp;
    this.#seconds[place] = seconds;
    this.#values[place] = value;
    return isOther;
  }

  #find(high: number, low: number): number {
    const mask = this.#places.length - 1;
    if (mask < 0) return EMPTY;
    // The keys are digests: any part of them is a hash.
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const place = this.#places[slot]!;
      if (place === EMPTY || (this.#low[place] === low && this.#high[place] === high)) return place;
    }
  }

  #index(place: number): void {
    const mask = this.#places.length - 1;
    let slot = this.#low[place]! & mask;
    while (this.#places[slot] !== EMPTY) slot = (slot + 1) & mask;
    this.#places[slot] = place;
  }

  #keep(wanted: (place: number) => boolean): void {
    let kept = 0;
    for (let place = 0; place < this.#size; place++) {
      if (!wanted(place)) continue;
      for (const column of this.#columns) column[kept] = column[place]!;
      kept++;
    }
    if (kept === this.#size) return;
    this.#size = kept;
    this.#resize(Math.max(FIRST_CAPACITY, 2 ** Math.ceil(Math.log2(kept + 1))));
  }

  get #columns(): Uint32Array[] {
    return [this.#high, this.#low, this.#stamps, this.#seconds, this.#values];
  }

  #resize(capacity: number): void {
    const [high, low, stamps, seconds, values] = this.#columns.map((old) => {
      const array = new Uint32Array(capacity);
      array.set(old.subarray(0, Math.min(this.#size, capacity)));
      return array;
    });
    this.#high = high!;
    this.#low = low!;
    this.#stamps = stamps!;
    this.#seconds = seconds!;
    this.#values = values!;
    this.#places = new Int32Array(capacity * 2).fill(EMPTY);
    for (let place = 0; place < this.#size; place++) this.#index(place);
  }
}

function highOf(key: string): number {
  return wordOf(key, 0);
}

function lowOf(key: string): number {
  return wordOf(key, 4);
}

/** Four of a key's characters as a number. */
export function wordOf(key: string, from: number): number {
  return (
    ((key.charCodeAt(from) << 24) |
      (key.charCodeAt(from + 1) << 16) |
      (key.charCodeAt(from + 2) << 8) |
      key.charCodeAt(from + 3)) >>>
    0
  );
}

const KEY_BYTES = 8;
const FIRST_CAPACITY = 16;
const EMPTY = -1;
/** Shared by all sets that hold nothing. */
const NO_KEYS = new Uint32Array(0);
const NO_PLACES = new Int32Array(0);

/**
 * A set of 8-byte keys in the order in which they came, each with the number of the read that showed it last. Typed arrays
 * hold it in some 20 bytes per key, a sixth of what a `Map` takes: a fleet has millions.
 */
export class KeySet {
  #high = NO_KEYS;
  #low = NO_KEYS;
  #stamps = NO_KEYS;
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

  /** Number of the read that showed this key last; undefined: it is not here. */
  stampOf(key: string): number | undefined {
    const place = this.#find(highOf(key), lowOf(key));
    return place < 0 ? undefined : this.#stamps[place];
  }

  /** @returns whether the key is new; a known one gets the stamp and keeps its place */
  add(key: string, stamp: number): boolean {
    return this.#put(highOf(key), lowOf(key), stamp);
  }

  /** Lets the oldest keys go. */
  dropOldest(count: number): void {
    this.#keep((place) => place >= count);
  }

  /** Lets keys go that no read since `stamp` has shown, the oldest first, until `least` are left. */
  expire(stamp: number, least: number): void {
    let spare = this.#size - least;
    if (spare <= 0) return;
    let old = false;
    for (let place = 0; place < this.#size && !old; place++) old = this.#stamps[place]! < stamp;
    if (!old) return;
    this.#keep((place) => {
      if (spare <= 0 || this.#stamps[place]! >= stamp) return true;
      spare--;
      return false;
    });
  }

  clear(): void {
    this.#resize(0);
    this.#size = 0;
  }

  /** All keys, the oldest first, as base64. */
  pack(): string {
    const bytes = Buffer.alloc(this.#size * KEY_BYTES);
    for (let place = 0; place < this.#size; place++) {
      bytes.writeUInt32BE(this.#high[place]!, place * KEY_BYTES);
      bytes.writeUInt32BE(this.#low[place]!, place * KEY_BYTES + 4);
    }
    return bytes.toString('base64');
  }

  static unpack(text: string): KeySet {
    const bytes = Buffer.from(text, 'base64');
    const keys = new KeySet();
    for (let at = 0; at + KEY_BYTES <= bytes.length; at += KEY_BYTES)
      keys.#put(bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4), 0);
    return keys;
  }

  #put(high: number, low: number, stamp: number): boolean {
    const found = this.#find(high, low);
    if (found >= 0) {
      this.#stamps[found] = stamp;
      return false;
    }
    if (this.#size === this.#high.length) this.#resize(Math.max(FIRST_CAPACITY, this.#size * 2));
    const place = this.#size++;
    this.#high[place] = high;
    this.#low[place] = low;
    this.#stamps[place] = stamp;
    this.#index(place);
    return true;
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
      this.#high[kept] = this.#high[place]!;
      this.#low[kept] = this.#low[place]!;
      this.#stamps[kept++] = this.#stamps[place]!;
    }
    this.#size = kept;
    this.#resize(Math.max(FIRST_CAPACITY, 2 ** Math.ceil(Math.log2(kept + 1))));
  }

  #resize(capacity: number): void {
    const grown = (old: Uint32Array<ArrayBuffer>) => {
      const array = new Uint32Array(capacity);
      array.set(old.subarray(0, Math.min(this.#size, capacity)));
      return array;
    };
    this.#high = grown(this.#high);
    this.#low = grown(this.#low);
    this.#stamps = grown(this.#stamps);
    this.#places = new Int32Array(capacity * 2).fill(EMPTY);
    if (capacity > 0) for (let place = 0; place < this.#size; place++) this.#index(place);
  }
}

function highOf(key: string): number {
  return pack4(key, 0);
}

function lowOf(key: string): number {
  return pack4(key, 4);
}

function pack4(key: string, from: number): number {
  return (
    ((key.charCodeAt(from) << 24) |
      (key.charCodeAt(from + 1) << 16) |
      (key.charCodeAt(from + 2) << 8) |
      key.charCodeAt(from + 3)) >>>
    0
  );
}

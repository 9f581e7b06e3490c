const BRANCHES = 4;
const ABSENT = -1;

/**
 * Due times of small integers, such as rows of a table: a heap of four branches in typed arrays, with the place of each
 * item kept, so that one can be moved or removed in O(log n) and nothing is allocated per step. Takes 24 bytes per item;
 * grows by doubling.
 */
export class DueQueue {
  #due = new Float64Array(16);
  /** Breaks ties: equal due times leave in order of arrival. */
  #order = new Float64Array(16);
  #item = new Uint32Array(16);
  /** By item: where it stands in the heap. */
  #place = new Int32Array(16).fill(ABSENT);
  #size = 0;
  #arrivals = 0;

  get size(): number {
    return this.#size;
  }

  /** Due time of the next item; Infinity when the queue is empty. */
  nextDue(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#due[0]!;
  }

  /** The item with the earliest due time. */
  first(): number | undefined {
    return this.#size === 0 ? undefined : this.#item[0]!;
  }

  has(item: number): boolean {
    return item < this.#place.length && this.#place[item] !== ABSENT;
  }

  /** Infinity when it is not there. */
  dueOf(item: number): number {
    return this.has(item) ? this.#due[this.#place[item]!]! : Number.POSITIVE_INFINITY;
  }

  /** Writes the due time of each item into its place. */
  copyTo(byItem: Float64Array): void {
    for (let place = 0; place < this.#size; place++) byItem[this.#item[place]!] = this.#due[place]!;
  }

  /** Adds the item, or moves it when it is there already. */
  set(item: number, due: number): void {
    if (item >= this.#place.length) this.#growItems(item);
    let place = this.#place[item]!;
    if (place === ABSENT) {
      if (this.#size === this.#due.length) this.#growHeap();
      place = this.#size++;
    }
    this.#settle(place, item, due, this.#arrivals++);
  }

  delete(item: number): void {
    if (!this.has(item)) return;
    const place = this.#place[item]!;
    this.#place[item] = ABSENT;
    const last = --this.#size;
    if (place !== last) this.#settle(place, this.#item[last]!, this.#due[last]!, this.#order[last]!);
  }

  /** Puts an item where it belongs, beginning at a place whose own item has gone. */
  #settle(start: number, item: number, due: number, order: number): void {
    let place = start;
    while (place > 0) {
      const parent = (place - 1) >> 2;
      if (!this.#isBefore(due, order, parent)) break;
      this.#copy(parent, place);
      place = parent;
    }
    if (place === start) {
      for (;;) {
        const child = this.#earliestChild(place);
        if (child === ABSENT || this.#isBefore(due, order, child)) break;
        this.#copy(child, place);
        place = child;
      }
    }
    this.#due[place] = due;
    this.#order[place] = order;
    this.#item[place] = item;
    this.#place[item] = place;
  }

  #earliestChild(place: number): number {
    const begin = place * BRANCHES + 1;
    if (begin >= this.#size) return ABSENT;
    const end = Math.min(begin + BRANCHES, this.#size);
    let first = begin;
    for (let child = begin + 1; child < end; child++)
      if (this.#isBefore(this.#due[child]!, this.#order[child]!, first)) first = child;
    return first;
  }

  #isBefore(due: number, order: number, place: number): boolean {
    const other = this.#due[place]!;
    return due < other || (due === other && order < this.#order[place]!);
  }

  #copy(from: number, to: number): void {
    const item = this.#item[from]!;
    this.#due[to] = this.#due[from]!;
    this.#order[to] = this.#order[from]!;
    this.#item[to] = item;
    this.#place[item] = to;
  }

  #growHeap(): void {
    const length = this.#due.length * 2;
    const due = new Float64Array(length);
    const order = new Float64Array(length);
    const item = new Uint32Array(length);
    due.set(this.#due);
    order.set(this.#order);
    item.set(this.#item);
    this.#due = due;
    this.#order = order;
    this.#item = item;
  }

  #growItems(item: number): void {
    const place = new Int32Array(Math.max(item + 1, this.#place.length * 2)).fill(ABSENT);
    place.set(this.#place);
    this.#place = place;
  }
}

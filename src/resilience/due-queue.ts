interface Node<T> {
  due: number;
  /** Breaks ties: equal due times leave in order of arrival. */
  order: number;
  readonly item: T;
}

/** A binary heap of items by due time, with their place kept so that one can be moved or removed in O(log n). */
export class DueQueue<T> {
  readonly #heap: Node<T>[] = [];
  readonly #place = new Map<T, number>();
  #arrivals = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** Due time of the next item, or undefined when the queue is empty. */
  nextDue(): number | undefined {
    return this.#heap[0]?.due;
  }

  dueOf(item: T): number | undefined {
    const place = this.#place.get(item);
    return place === undefined ? undefined : this.#heap[place]!.due;
  }

  /** Adds the item, or moves it when it is there already. */
  set(item: T, due: number): void {
    const order = this.#arrivals++;
    const place = this.#place.get(item);
    if (place === undefined) {
      this.#put({ due, order, item }, this.#heap.length);
      this.#up(this.#heap.length - 1);
      return;
    }
    Object.assign(this.#heap[place]!, { due, order });
    this.#up(place);
    this.#down(place);
  }

  delete(item: T): void {
    const place = this.#place.get(item);
    if (place === undefined) return;
    this.#place.delete(item);
    const last = this.#heap.pop()!;
    if (last.item === item) return;
    this.#put(last, place);
    this.#up(place);
    this.#down(place);
  }

  /** Items that are due at `now`, in order of due time, without removing them. */
  *due(now: number): Generator<T> {
    const ready: Node<T>[] = [];
    const visit = (place: number) => {
      const node = this.#heap[place];
      if (!node || node.due > now) return;
      ready.push(node);
      visit(2 * place + 1);
      visit(2 * place + 2);
    };
    visit(0);
    for (const node of ready.sort(before)) yield node.item;
  }

  #put(node: Node<T>, place: number): void {
    this.#heap[place] = node;
    this.#place.set(node.item, place);
  }

  #up(start: number): void {
    for (let place = start; place > 0; ) {
      const parent = (place - 1) >> 1;
      if (before(this.#heap[parent]!, this.#heap[place]!) < 0) return;
      this.#swap(place, parent);
      place = parent;
    }
  }

  #down(start: number): void {
    for (let place = start; ; ) {
      let first = place;
      for (const child of [2 * place + 1, 2 * place + 2]) {
        if (child < this.#heap.length && before(this.#heap[child]!, this.#heap[first]!) < 0) first = child;
      }
      if (first === place) return;
      this.#swap(place, first);
      place = first;
    }
  }

  #swap(a: number, b: number): void {
    const node = this.#heap[a]!;
    this.#put(this.#heap[b]!, a);
    this.#put(node, b);
  }
}

function before(a: Node<unknown>, b: Node<unknown>): number {
  return a.due - b.due || a.order - b.order;
}

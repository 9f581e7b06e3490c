/** What a client has left. */
export interface Allowance {
  /** Whether this request passes. */
  readonly allowed: boolean;
  readonly limit: number;
  /** Requests that still pass in this window. */
  readonly remaining: number;
  /** Milliseconds until a new window may begin. */
  readonly resetMs: number;
}

/**
 * Counts requests per client in a window that begins with the client's first one. What is refused does not lengthen it.
 * Remembers a bounded number of clients; who was not seen for longest is forgotten first.
 */
export class RequestWindows {
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #mostClients: number;
  /** In the order in which they were last seen. */
  readonly #clients = new Map<string, { readonly began: number; used: number }>();

  constructor(limit: number, windowMs: number, mostClients: number) {
    this.#limit = limit;
    this.#windowMs = windowMs;
    this.#mostClients = mostClients;
  }

  /** Number of clients that are remembered. */
  get size(): number {
    return this.#clients.size;
  }

  /** Counts one request. @param now monotonic milliseconds */
  take(client: string, now: number): Allowance {
    const known = this.#known(client, now) ?? { began: now, used: 0 };
    this.#clients.delete(client);
    this.#clients.set(client, known);
    if (this.#clients.size > this.#mostClients) this.#clients.delete(this.#clients.keys().next().value!);
    const allowed = known.used < this.#limit;
    if (allowed) known.used++;
    return this.#allowance(known, allowed, now);
  }

  /** Whether one more would pass, without counting it. */
  look(client: string, now: number): Allowance {
    const known = this.#known(client, now) ?? { began: now, used: 0 };
    return this.#allowance(known, known.used < this.#limit, now);
  }

  #known(client: string, now: number) {
    const known = this.#clients.get(client);
    return known && now - known.began < this.#windowMs ? known : undefined;
  }

  #allowance({ began, used }: { began: number; used: number }, allowed: boolean, now: number): Allowance {
    const limit = this.#limit;
    return { allowed, limit, remaining: Math.max(0, limit - used), resetMs: began + this.#windowMs - now };
  }
}

import { digest } from '../digest.ts';
import type { Happening } from '../happening.ts';
import { idOf } from '../json.ts';

const MOST_REMEMBERED = 4_096;

/**
 * Recognises events that a BMC sends again after a reconnect: the same content under the same `EventId`, else
 * `LogEntry`, else SSE id. Equal content under another id is another event, and so is the same SSE id with other
 * content (ids start again after a reboot).
 */
export class ReplayFilter {
  readonly #seen = new Set<string>();

  /** @returns undefined for an event that names itself in no way: it cannot be recognised */
  keyOf({ json, uri, content }: Happening, sseId: string | undefined): string | undefined {
    const name = idOf(json.EventId) ?? uri ?? sseId;
    return name === undefined ? undefined : digest(name, content);
  }

  has(key: string | undefined): boolean {
    return key !== undefined && this.#seen.has(key);
  }

  add(key: string | undefined): void {
    if (key === undefined) return;
    this.#seen.add(key);
    if (this.#seen.size > MOST_REMEMBERED) this.#seen.delete(this.#seen.values().next().value!);
  }
}

import type { EndpointSettings } from '../endpoint-settings.ts';

/** What came of reading a source once. */
export type SourceAnswer = { readonly list: readonly EndpointSettings[] } | { readonly error: string };

/** Passes in a row that must show an empty list before all endpoints of a source go. */
const EMPTY_PASSES = 2;

/**
 * Keeps the last good list of a source while the source is away or wrong, and lets its endpoints go only on a second empty
 * list in a row: a discovery that starts often answers `[]` first. Pure.
 */
export class KeptList {
  #list: readonly EndpointSettings[] | undefined;
  #stored: readonly EndpointSettings[] | undefined;
  #emptyPasses = 0;
  #error = '';

  /** @param stored the last good list of a former process, for a source that is down at start */
  constructor(stored?: readonly EndpointSettings[]) {
    this.#stored = stored;
  }

  /** The list in force; undefined before the first answer. */
  get list(): readonly EndpointSettings[] | undefined {
    return this.#list;
  }

  /** Whether the same answer again would change nothing. */
  get isSettled(): boolean {
    if (this.#error !== '' || this.#list === undefined) return false;
    return this.#emptyPasses === 0 || this.#list.length === 0;
  }

  /** Why the list in force may be old; "" when it is not. */
  get error(): string {
    return this.#error;
  }

  /** @returns whether there is a new error to tell */
  take(answer: SourceAnswer): boolean {
    const before = this.#error;
    if ('error' in answer) {
      this.#error = answer.error;
      this.#emptyPasses = 0;
      this.#list ??= this.#stored ?? [];
      return this.#error !== before;
    }
    this.#error = '';
    this.#emptyPasses = answer.list.length === 0 ? this.#emptyPasses + 1 : 0;
    const hasEndpoints = (this.#list ?? this.#stored ?? []).length > 0;
    if (answer.list.length === 0 && hasEndpoints && this.#emptyPasses < EMPTY_PASSES) {
      this.#list ??= this.#stored;
      return false;
    }
    if (answer.list.length > 0 || this.#list === undefined || this.#list.length > 0) this.#list = answer.list;
    return false;
  }
}

import type { Clock } from '../../../src/component/clock.ts';
import type { Host, Logger } from '../../../src/component/component.ts';
import type { KeyValue } from '../../../src/component/storage.ts';
import { EndpointState, type StoredState } from '../endpoint-state.ts';
import { isObject } from '../json.ts';
import { joinPieces, pieces } from '../pieces.ts';
import { ServiceCursor, type StoredCursor } from './cursor.ts';
import type { PendingKeys, StoredPart } from './ledger.ts';

const SERVICE = 'service/';
const TOLD = 'told/';
/** Before the name of an endpoint; no name begins like this. */
const STATE = '~state/';
/** State of an endpoint that is gone is kept for so long: it may come back. */
const KEPT_MS = 7 * 86_400_000;
/** Of one transaction. */
const KEYS_PER_WRITE = 1_000;
/** That wait for the store. */
const MOST_CHANGED = 250_000;
/** A store that did not take positions is asked again after this time. */
const RETRY_MS = 5_000;

/** What an endpoint knew when the former process ended. */
export interface KnownBefore {
  readonly cursors: ReadonlyMap<string, ServiceCursor>;
  readonly state: EndpointState;
  /** What the stream had told and no read had shown yet, with the parts that they are stored in. */
  readonly told: readonly (readonly [PendingKeys, StoredPart])[];
}

/**
 * The positions of all endpoints of a receiver in a store. Whatever changes is written behind the records that it
 * stands for, one transaction at a time with all that changed meanwhile: a crash in between sends some again, with equal
 * uids, and loses none.
 */
export class Positions {
  readonly #store: KeyValue;
  readonly #logger: Logger;
  readonly #changed = new Map<string, () => string | undefined>();
  #writing: Promise<void> | undefined;
  #isWriting = false;
  readonly #clock: Clock;
  /** Ends the waiting for a store that does not take them. */
  readonly #stop = new AbortController();
  #isRefused = false;
  /** What is being written now. */
  #inFlight: ReadonlyMap<string, () => string | undefined> = new Map();

  constructor(store: KeyValue, { logger, clock }: Pick<Host, 'logger' | 'clock'>) {
    this.#store = store;
    this.#logger = logger;
    this.#clock = clock;
  }

  of(endpoint: string): EndpointPositions {
    return new EndpointPositions(endpoint, this);
  }

  /** @param value is asked for when it is written, so that many changes of one value cost one write */
  change(key: string, value: () => string | undefined): void {
    this.#changed.set(key, value);
    // While a store takes nothing, memory must not grow: what is given up here is sent again after a restart.
    if (this.#changed.size > MOST_CHANGED) this.#changed.delete(this.#changed.keys().next().value!);
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#writing = this.#write();
  }

  /** What is stored under a prefix, as it will be when everything is written that was changed so far. */
  async list(prefix: string): Promise<Map<string, string>> {
    const coming = new Map<string, string | undefined>();
    for (const [key, value] of [...this.#inFlight, ...this.#changed])
      if (key.startsWith(prefix)) coming.set(key, value());
    const stored = joinPieces(await this.#store.list(prefix));
    for (const [key, value] of coming) {
      if (value === undefined) stored.delete(key);
      else stored.set(key, value);
    }
    return stored;
  }

  /** Kept under another name for whoever wants to look, and never read again. */
  unreadable(key: string, value: string, error: unknown): void {
    this.#logger.warn('a stored position cannot be read; its log is read again', { key, error });
    this.change(key, () => undefined);
    this.change(`~unreadable/${key}`, () => value);
  }

  /**
   * Lets the state of endpoints go that have been gone for a week.
   * @param current names of the endpoints that there are
   */
  async forgetGone(current: ReadonlySet<string>): Promise<void> {
    const nowMs = Number(this.#clock.now() / 1_000_000n);
    for (const [key, value] of await this.list(STATE)) {
      const name = key.slice(STATE.length);
      if (current.has(name)) continue;
      const state = readState(value) ?? {};
      if (state.goneMs === undefined) this.change(key, () => JSON.stringify({ ...state, goneMs: nowMs }));
      else if (nowMs - state.goneMs >= KEPT_MS)
        for (const old of [key, ...(await this.#store.list(`${name}/`)).keys()]) this.change(old, () => undefined);
    }
  }

  /** Writes what has changed, once more; what the store does not take now is given up. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#changed.size > 0) {
      // What was changed in this turn of the event loop is written together.
      await Promise.resolve();
      this.#inFlight = new Map([...this.#changed].slice(0, KEYS_PER_WRITE));
      for (const key of this.#inFlight.keys()) this.#changed.delete(key);
      const values: Record<string, string | undefined> = {};
      for (const [key, value] of this.#inFlight)
        for (const [name, piece] of pieces(key, value(), !key.includes(TOLD))) values[name] = piece;
      try {
        await this.#store.set(values);
        this.#isRefused = false;
      } catch (error) {
        if (!this.#isRefused)
          this.#logger.warn('positions could not be stored; a restart sends what came since again', { error });
        this.#isRefused = true;
        if (this.#stop.signal.aborted) break;
        // Tried again, with whatever has changed since.
        for (const [key, value] of this.#inFlight) if (!this.#changed.has(key)) this.#changed.set(key, value);
        await this.#clock.sleep(RETRY_MS, this.#stop.signal).catch(() => {});
      }
    }
    this.#inFlight = new Map();
    // In the same moment in which nothing was left to write: what changes from now on starts a writer of its own.
    this.#isWriting = false;
  }
}

/** The positions of one endpoint. */
export class EndpointPositions {
  readonly #endpoint: string;
  readonly #prefix: string;
  readonly #all: Positions;
  #nextTold = 0;

  constructor(endpoint: string, all: Positions) {
    this.#endpoint = endpoint;
    this.#prefix = `${endpoint}/`;
    this.#all = all;
  }

  /** Once, before anything is read. */
  async load(): Promise<KnownBefore> {
    const stored = await this.#all.list(this.#prefix);
    const stateKey = `${STATE}${this.#endpoint}`;
    const storedState = (await this.#all.list(stateKey)).get(stateKey);
    const state = storedState === undefined ? {} : readState(storedState);
    if (!state) this.#all.unreadable(stateKey, storedState!, new Error('no JSON object'));
    const cursors = new Map<string, ServiceCursor>();
    const told: (readonly [PendingKeys, StoredPart])[] = [];
    for (const [key, value] of stored) {
      const name = key.slice(this.#prefix.length);
      try {
        if (name.startsWith(SERVICE)) {
          const { path, cursor } = JSON.parse(value) as { path: string; cursor: StoredCursor };
          cursors.set(path, ServiceCursor.restore(cursor));
        } else if (name.startsWith(TOLD)) {
          this.#nextTold = Math.max(this.#nextTold, Number(name.slice(TOLD.length)) + 1);
          const keys = (JSON.parse(value) as StoredKeys[]).map(restoreKeys);
          const part = this.#part(key, keys.length);
          for (const one of keys) told.push([one, part]);
        }
      } catch (error) {
        this.#all.unreadable(key, value, error);
      }
    }
    const onChange = (changed: StoredState) => this.#all.change(stateKey, () => JSON.stringify(changed));
    return { cursors, told, state: new EndpointState({ ...state, goneMs: undefined }, onChange) };
  }

  /** @param id of the service, short */
  saveCursor(id: string, path: string, cursor: ServiceCursor): void {
    this.#all.change(`${this.#prefix}${SERVICE}${id}`, () => JSON.stringify({ path, cursor: cursor.stored }));
  }

  /** The service is not kept in mind any more. @param id of the service, short */
  forgetCursor(id: string): void {
    this.#all.change(`${this.#prefix}${SERVICE}${id}`, () => undefined);
  }

  /** Stores what a stream has told until each of them was released. */
  saveTold(keys: readonly PendingKeys[]): StoredPart {
    const key = `${this.#prefix}${TOLD}${this.#nextTold++}`;
    const text = JSON.stringify(keys.map(storeKeys));
    this.#all.change(key, () => text);
    return this.#part(key, keys.length);
  }

  #part(key: string, count: number): StoredPart {
    let left = count;
    return {
      release: () => {
        if (--left === 0) this.#all.change(key, () => undefined);
      },
    };
  }
}

function readState(text: string): StoredState | undefined {
  try {
    const state: unknown = JSON.parse(text);
    return isObject(state as never) ? (state as StoredState) : undefined;
  } catch {
    return undefined;
  }
}

type StoredKeys = readonly [
  uri: string | null,
  content: string,
  text: string,
  messageId: string | null,
  nanos: string | null,
];

function storeKeys({ uri, content, text, messageId, time }: PendingKeys): StoredKeys {
  return [uri ?? null, content, text, messageId ?? null, time.epochNanos?.toString() ?? null];
}

function restoreKeys([uri, content, text, messageId, nanos]: StoredKeys): PendingKeys {
  const time =
    nanos === null
      ? ({ epochNanos: undefined, raw: undefined } as const)
      : { epochNanos: BigInt(nanos), zoneAssumed: false };
  return { uri: uri ?? undefined, content, text, messageId: messageId ?? undefined, time };
}

import { Watchers } from '../watchers.ts';

/** One entry or event that a simulated BMC has ever offered. Its number stands in the message. */
export interface Offered {
  readonly number: number;
  readonly bmc: string;
  /** Path of the log service; empty for an event that stands in no log. */
  readonly service: string;
  /** It was written to the event stream. */
  readonly stream: boolean;
  /** It stood in a log. */
  readonly log: boolean;
  /** Monotonic milliseconds. */
  readonly from: number;
  /** When it left its log, after which nobody can read it there; undefined: it has not. */
  to: number | undefined;
  /** What its message said, with each change of it; empty: not known. */
  readonly texts: readonly string[];
}

export interface Verdict {
  readonly published: number;
  readonly received: number;
  /** Numbers that no record carries. */
  readonly lost: readonly Offered[];
  /** Numbers that more than one record carries, with how many. */
  readonly doubled: readonly (Offered & { readonly times: number })[];
  /** Records that carry a number which was never offered, or by another BMC. */
  readonly strange: number;
  /** Records that carry a number and say something else than was offered under it. */
  readonly altered: readonly { readonly number: number; readonly body: string }[];
}

const NUMBER = /#(\d+)\b/;

/** Everything that was ever offered, so that a test can say what was lost and what was doubled. */
export class Truth {
  readonly watchers = new Watchers();
  readonly #offered = new Map<number, Offered & { readonly texts: string[] }>();

  get published(): number {
    return this.#offered.size;
  }

  /** Everything, in the order in which it was offered. */
  get offered(): readonly Offered[] {
    return [...this.#offered.values()];
  }

  /** @returns the number of a new entry; put it into the message as `#<number>` */
  offer(bmc: string, service: string, by: { readonly stream: boolean; readonly log: boolean } = IN_LOG): number {
    const number = this.#offered.size + 1;
    this.#offered.set(number, {
      ...{ number, bmc, service, stream: by.stream, log: by.log },
      ...{ from: performance.now(), to: undefined, texts: [] },
    });
    this.watchers.notify();
    return number;
  }

  /** @returns the number of a new event that stands in no log */
  offerEvent(bmc: string): number {
    return this.offer(bmc, '', { stream: true, log: false });
  }

  /** Remembers what the message of a number says, beside what it said before. */
  says(number: number, text: string): void {
    this.#offered.get(number)?.texts.push(text);
  }

  /** Remembers that entries can no longer be read. */
  left(numbers: Iterable<number | undefined>): void {
    const at = performance.now();
    for (const number of numbers) {
      const offered = number === undefined ? undefined : this.#offered.get(number);
      if (offered) offered.to = at;
    }
  }

  /** Compares with what a sink received: texts with the number inside, and the BMC that they came from. */
  compare(records: Iterable<{ readonly body: unknown; readonly endpoint: unknown }>): Verdict {
    const times = new Map<number, number>();
    const altered: { number: number; body: string }[] = [];
    let received = 0;
    let strange = 0;
    for (const { body, endpoint } of records) {
      received++;
      const text = String(body);
      const number = Number(NUMBER.exec(text)?.[1]);
      const offered = this.#offered.get(number);
      if (offered?.bmc === endpoint) {
        times.set(number, (times.get(number) ?? 0) + 1);
        if (offered?.texts.length && !offered.texts.includes(text)) altered.push({ number, body: text });
      } else strange++;
    }
    const all = [...this.#offered.values()];
    return {
      published: all.length,
      received,
      lost: all.filter(({ number }) => !times.has(number)),
      doubled: all.flatMap((one) => {
        const count = times.get(one.number) ?? 0;
        return count > 1 ? [{ ...one, times: count }] : [];
      }),
      strange,
      altered,
    };
  }
}

const IN_LOG = { stream: false, log: true };

import { Watchers } from '../watchers.ts';

/** One entry or event that a simulated BMC has ever offered. Its number stands in the message. */
export interface Offered {
  readonly number: number;
  readonly bmc: string;
  readonly service: string;
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
}

const NUMBER = /#(\d+)\b/;

/** Everything that was ever offered, so that a test can say what was lost and what was doubled. */
export class Truth {
  readonly watchers = new Watchers();
  readonly #offered = new Map<number, Offered>();

  get published(): number {
    return this.#offered.size;
  }

  /** @returns the number of a new entry; put it into the message as `#<number>` */
  offer(bmc: string, service: string): number {
    const number = this.#offered.size + 1;
    this.#offered.set(number, { number, bmc, service });
    this.watchers.notify();
    return number;
  }

  /** Compares with what a sink received: texts with the number inside, and the BMC that they came from. */
  compare(records: Iterable<{ readonly body: unknown; readonly endpoint: unknown }>): Verdict {
    const times = new Map<number, number>();
    let received = 0;
    let strange = 0;
    for (const { body, endpoint } of records) {
      received++;
      const number = Number(NUMBER.exec(String(body))?.[1]);
      if (this.#offered.get(number)?.bmc === endpoint) times.set(number, (times.get(number) ?? 0) + 1);
      else strange++;
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
    };
  }
}

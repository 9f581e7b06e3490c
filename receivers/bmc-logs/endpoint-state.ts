import type { DowngradeReason } from './mode-machine.ts';

/** What must outlive the process beside read positions. Every member may be missing. */
export interface StoredState {
  /** Of the endpoint when this was stored: another one is another BMC to connect to. */
  readonly address?: string | undefined;
  readonly downgrade?: StoredDowngrade | undefined;
  readonly hold?: StoredHold | undefined;
  /** Path of an open Redfish session, so that the next process can end what a crash left behind. */
  readonly session?: string | undefined;
  readonly firmware?: string | undefined;
  /** Name the BMC itself: another one here is a replaced board. */
  readonly serviceUuid?: string | undefined;
  readonly managerSerial?: string | undefined;
  /** Start of the last read of all services that saw everything; milliseconds since the epoch. */
  readonly lastPollMs?: number | undefined;
  /** Log services whose entries have come by stream. */
  readonly covered?: readonly string[] | undefined;
  /** When the endpoint left the configuration; milliseconds since the epoch. */
  readonly goneMs?: number | undefined;
}

/** A decision to poll that a restart keeps. Times are milliseconds since the epoch. */
export interface StoredDowngrade {
  readonly reason: DowngradeReason;
  readonly sinceMs: number;
  readonly failedTrials: number;
  /** Undefined: no trial is due, ever. */
  readonly nextTrialMs: number | undefined;
}

/** How logins with an account went that has not worked yet. */
export interface StoredHold {
  /** Two bytes of a digest of the account: enough to see that it was changed, too little to guess it by. */
  readonly account: string;
  /** Rejected logins in a row since the last hold. */
  readonly rejected: number;
  /** Holds in a row; each is twice as long as the one before. */
  readonly holds: number;
  /** Until then the account is left alone; milliseconds since the epoch, 0: no hold. */
  readonly untilMs: number;
}

/** The stored state of one endpoint. */
export class EndpointState {
  #state: StoredState;
  readonly #onChange: (state: StoredState) => void;

  /** @param onChange stores it; called after every change */
  constructor(stored: StoredState, onChange: (state: StoredState) => void) {
    this.#state = stored;
    this.#onChange = onChange;
  }

  get current(): StoredState {
    return this.#state;
  }

  /** @param change a member that is undefined is forgotten */
  update(change: StoredState): void {
    this.#state = { ...this.#state, ...change };
    this.#onChange(this.#state);
  }
}

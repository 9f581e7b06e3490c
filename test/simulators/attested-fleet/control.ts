import type { Declared } from './directory.ts';
import type { Fault, FaultOptions } from './faults.ts';
import type { AttestedFleet } from './fleet.ts';
import type { NrasVerdict } from './nras.ts';
import { policyNamed } from './policies.ts';
import type { TcbName } from './tcb-levels.ts';

/** The body of a command; each verb takes what it needs. */
interface Command {
  readonly i: number & 'all';
  readonly fault: Fault;
  readonly options: FaultOptions & { readonly reuseKey?: boolean; readonly staleReport?: boolean };
  /** Name of a policy, with the arguments of its function. */
  readonly policy: string;
  readonly args?: readonly unknown[];
  readonly declared?: Declared | null;
  /** Of a switch. */
  readonly on: boolean;
  readonly verdict: NrasVerdict;
  readonly epochMs?: number;
  readonly status: TcbName;
  readonly advisories?: readonly string[];
}

const verbs: Readonly<Record<string, (fleet: AttestedFleet, command: Command) => unknown>> = {
  kill: (fleet, { i }) => fleet.kill(i),
  revive: (fleet, { i }) => fleet.revive(i),
  add: async (fleet) => ({ i: (await fleet.add()).index }),
  rotate: (fleet, { i, options }) => fleet.rotate(i, options),
  fault: (fleet, { i, fault, options }) => fleet.fault(i, fault, options),
  clearFaults: (fleet) => fleet.clearFaults(),
  setPolicy: (fleet, { policy, args }) => fleet.setPolicy(policyNamed(policy, args)),
  setDeclared: (fleet, { declared }) => fleet.setDeclared(declared ?? undefined),
  ignoreIndex: (fleet, { on }) => {
    fleet.ignoreIndex = on;
  },
  refuse: (fleet) => fleet.refuse(),
  accept: (fleet) => fleet.accept(),
  blackhole: async (fleet) => ({ port: await fleet.blackholePort() }),
  pccsOutage: (fleet, { on }) => fleet.pccsControl.outage(on),
  pccsExpiry: (fleet, { epochMs }) => fleet.pccsControl.setExpiry(epochMs),
  pccsTcb: (fleet, { status, advisories }) => fleet.pccsControl.setTcb(status, advisories),
  nrasVerdict: (fleet, { verdict }) => {
    fleet.nrasControl.verdict = verdict;
  },
};

/** Acts on a command and says what came of it; rejects an unknown one. */
export async function commandFleet(fleet: AttestedFleet, verb: string, command: object): Promise<object> {
  const act = verbs[verb];
  if (!act) throw new Error(`no verb ${verb}`);
  return ((await act(fleet, command as Command)) as object | undefined) ?? {};
}

/** What can be read of a fleet by path. */
export function readFleet(fleet: AttestedFleet, path: string): unknown {
  switch (path) {
    case '/ledger':
      return fleet.ledger();
    case '/truth':
      return Object.fromEntries(fleet.truth());
    case '/counters':
      return fleet.counters();
    default:
      return undefined;
  }
}

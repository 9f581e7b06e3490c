import { Watchers } from '../watchers.ts';
import { SimulatedBmc } from './bmc.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { PROFILES, type Profile } from './profiles.ts';
import { recordedTree } from './recorded-tree.ts';
import { Truth } from './truth.ts';

export interface FleetOptions {
  readonly count: number;
  /** Serves a recorded tree instead of generated machines. */
  readonly tree?: string;
  /** https with generated certificates. */
  readonly tls?: boolean;
  /** Basic credentials that every BMC asks for. */
  readonly account?: { readonly username: string; readonly password: string };
  /** Profiles by index, in turn; default: all of them. */
  readonly profiles?: readonly string[];
}

export interface BmcFleet {
  readonly bmcs: readonly SimulatedBmc[];
  readonly truth: Truth;
  /** PEM of the authority that signed the certificates; undefined for http. */
  readonly ca: string | undefined;
  bmc(index: number): SimulatedBmc;
  /** Resolves as soon as the predicate holds; looked at after each request and each stream that opens or ends. */
  waitFor(predicate: () => boolean): Promise<void>;
  close(): Promise<void>;
}

/** Starts BMCs on free loopback ports, named `bmc-0`, `bmc-1`, ... */
export async function startBmcFleet(options: FleetOptions): Promise<BmcFleet> {
  const certificates: Certificates | undefined = options.tls ? await makeCertificates() : undefined;
  const truth = new Truth();
  const watchers = new Watchers();
  const names = options.profiles ?? PROFILES.map(({ name }) => name);
  const tree = options.tree === undefined ? undefined : recordedTree(options.tree);
  const bmcs = Array.from(
    { length: options.count },
    (_, index) =>
      new SimulatedBmc({
        name: `bmc-${index}`,
        profile: profileNamed(names[index % names.length]!),
        truth,
        watchers,
        tls: certificates && { key: certificates.key, cert: certificates.cert },
        tree,
        account: options.account,
        port: 0,
      }),
  );
  await Promise.all(bmcs.map((bmc) => bmc.up()));
  return {
    bmcs,
    truth,
    ca: certificates?.ca,
    bmc: (index) => bmcs[index]!,
    waitFor: (predicate) => watchers.until(predicate),
    close: async () => {
      await Promise.all(bmcs.map((bmc) => bmc.down()));
    },
  };
}

function profileNamed(name: string): Profile {
  const profile = PROFILES.find((one) => one.name === name);
  if (!profile) throw new Error(`no profile "${name}"`);
  return profile;
}

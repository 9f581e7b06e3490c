import { z } from 'zod';
import { bool, duration, headers, httpUrl, text, wordOf } from '../../../src/config/schema/values.ts';
import { safeUrl } from '../settings.ts';

export const MODES = ['none', 'binding', 'dcap'] as const;
export type VerificationMode = (typeof MODES)[number];

const TCB_LEVELS = [
  ...(['UpToDate', 'SWHardeningNeeded', 'ConfigurationNeeded', 'ConfigurationAndSWHardeningNeeded'] as const),
  ...(['OutOfDate', 'OutOfDateConfigurationNeeded', 'Revoked'] as const),
] as const;

const digest = (bytes: number) =>
  text()
    .regex(new RegExp(`^(0x)?[0-9a-fA-F]{${bytes * 2}}$`), { error: `must be ${bytes} bytes as hex` })
    .transform((value) => value.replace(/^0x/, '').toLowerCase());

const register = (name: string) => z.array(digest(48)).prefault([]).describe(`Values of ${name}. []: any.`);

const policy = z.strictObject({
  os_images: z.array(digest(32)).prefault([]).describe('Hashes of OS images that may run. []: any.'),
  compose_hashes: z.array(digest(32)).prefault([]).describe('Hashes of workloads that may run. []: any.'),
  mr_config_id: wordOf('if_set', 'required')
    .prefault('if_set')
    .describe('Whether the hardware must name the workload too; `if_set`: when it names one, it must be this one.'),
  measurements: z
    .strictObject({
      mrtd: register('MRTD, the firmware'),
      rtmr0: register('RTMR0, its settings'),
      rtmr1: register('RTMR1, the kernel'),
      rtmr2: register('RTMR2, what the kernel starts'),
    })
    .prefault({})
    .describe('Values that these registers may have. []: any.'),
  accept_any_workload: bool()
    .prefault(false)
    .describe("Trusts whatever runs in a genuine trust domain. Somebody else's workload then is a backend, too."),
});

const gpu = z
  .strictObject({
    mode: wordOf('off', 'optional', 'required').prefault('off').describe('Whether evidence of GPUs is verified.'),
    nras_url: httpUrl().optional().describe("Where NVIDIA's Remote Attestation Service takes evidence."),
    jwks_url: safeUrl().optional().describe('Keys of its tokens.'),
    issuer: text().optional().describe('Issuer of its tokens.'),
    timeout: duration().prefault('30s').describe('Time for one answer.'),
  })
  .check(
    z.superRefine(
      (value, context) => {
        if (value.mode === undefined || value.mode === 'off') return;
        for (const key of ['nras_url', 'jwks_url', 'issuer'] as const)
          if (value[key] === undefined) context.addIssue({ code: 'custom', message: `"${value.mode}" needs "${key}"` });
      },
      { when: () => true },
    ),
  );

const pccs = z.strictObject({
  url: httpUrl().describe('Base of a provisioning certificate caching service; what it says is signed.'),
  timeout: duration().prefault('10s').describe('Time for one document.'),
  headers: headers().describe('Headers of the requests.'),
});

export const verification = z
  .strictObject({
    mode: wordOf(...MODES)
      .prefault('dcap')
      .describe(
        '`none`: keys as they are seen. `binding`: the report names key and nonce. `dcap`: hardware proves it.',
      ),
    root_ca_file: text().optional().describe('Root of quotes, PEM or DER. Default: that of Intel.'),
    collateral: z
      .strictObject({
        directory: text().optional().describe('Folder with `<fmspc>-<ca>.json` as dcap-qvl writes them.'),
        pccs: pccs.optional().describe('Service that gives them.'),
      })
      .optional()
      .describe('Where the certificates, revocation lists and levels come from that quotes are judged by.'),
    accept_tcb: z
      .array(wordOf(...TCB_LEVELS).refine((level) => level !== 'Revoked', { error: '"Revoked" can never be accepted' }))
      .prefault(['UpToDate'])
      .describe('States of a platform that are good enough.'),
    policy: policy.prefault({}).describe('Which workloads are trusted.'),
    gpu: gpu.prefault({}).describe('Evidence of GPUs.'),
  })
  .check(
    z.superRefine(
      (value, context) => {
        if ((value.mode ?? 'dcap') !== 'dcap') return;
        const given = [value.collateral?.directory, value.collateral?.pccs].filter((one) => one !== undefined);
        if (given.length !== 1)
          context.addIssue({
            ...{ code: 'custom', path: ['collateral'] },
            message: given.length === 0 ? '"dcap" needs "directory" or "pccs"' : 'only one of "directory", "pccs"',
          });
        const rules = value.policy;
        const lists = [rules?.os_images, rules?.compose_hashes];
        const isEmpty = lists.every((list) => list === undefined || (Array.isArray(list) && list.length === 0));
        if (isEmpty && rules?.accept_any_workload !== true)
          context.addIssue({
            ...{ code: 'custom', path: ['policy'] },
            message: 'accepts any workload; list "os_images" or "compose_hashes", or set "accept_any_workload"',
          });
      },
      { when: () => true },
    ),
  );

export type VerificationConfig = z.output<typeof verification>;

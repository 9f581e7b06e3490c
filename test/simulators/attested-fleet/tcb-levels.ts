/** What TCB info says of a platform, best first. */
export const TCB_STATUSES = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const;

/** One of {@link TCB_STATUSES}. */
export type TcbName = (typeof TCB_STATUSES)[number];

/** CPUSVN and PCESVN in the PCK certificate; all levels ask for exactly these. */
export const CPU_SVN = Buffer.alloc(16, 2);
export const PCE_SVN = 13;

const LOWEST_SVN = 3;

/** The tee_tcb_svn of a quote that matches the level of a status; 'unknown': it matches none. */
export function teeTcbSvn(status: TcbName | 'unknown'): Buffer {
  const svn =
    status === 'unknown' ? LOWEST_SVN - 1 : LOWEST_SVN + TCB_STATUSES.length - 1 - TCB_STATUSES.indexOf(status);
  return Buffer.alloc(16, svn);
}

/** The levels of TCB info: one per status. `top` is what it says of good backends instead of UpToDate. */
export function tcbLevels(top: { readonly status: TcbName; readonly advisories: readonly string[] }): object[] {
  return TCB_STATUSES.map((status, place) => ({
    tcb: {
      sgxtcbcomponents: Array.from(CPU_SVN, (svn) => ({ svn })),
      pcesvn: PCE_SVN,
      tdxtcbcomponents: Array.from(teeTcbSvn(status), (svn) => ({ svn })),
    },
    tcbDate: '2024-03-13T00:00:00Z',
    tcbStatus: place === 0 ? top.status : status,
    advisoryIDs: place === 0 ? top.advisories : [`INTEL-SA-${String(800 + place).padStart(5, '0')}`],
  }));
}

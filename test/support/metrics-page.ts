import { metricsOfAll, pageName } from '../../scripts/generate-docs.ts';

/** What Prometheus and the page add by themselves. */
const ADDED = /_(?:bucket|sum|count)$/;
const OWN = ['target_info'];

/** Series of a metrics page that the manual does not have, by name or by label. */
export function undocumented(page: string): string[] {
  const known = new Map(
    metricsOfAll().map(({ doc, label }) => [pageName(doc.name), [label, 'le', ...doc.attributes].map(pageName)]),
  );
  const strange = new Set<string>();
  for (const [, name = '', labels = ''] of page.matchAll(/^([a-z_0-9]+)(?:\{(.*)\})? [^#]/gm)) {
    if (OWN.includes(name)) continue;
    const documented = known.get(name) ?? known.get(name.replace(ADDED, ''));
    const names = [...labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)].map(([, label]) => label!);
    if (!documented) strange.add(name);
    for (const label of names.filter((one) => documented && !documented.includes(one)))
      strange.add(`${name}{${label}}`);
  }
  return [...strange].sort();
}

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** The status page as it is served: one document, which asks nobody but the API that it came from. */
export interface StatusPage {
  readonly html: string;
  /** Its own script and style by their hashes, and nothing else. */
  readonly contentSecurityPolicy: string;
}

/** Puts the page together from its parts. Called once, at start. */
export async function loadStatusPage(): Promise<StatusPage> {
  const read = (name: string) => readFile(new URL(`./status-page/${name}`, import.meta.url), 'utf8');
  const [frame, style, script] = await Promise.all(['index.html', 'style.css', 'script.js'].map(read));
  const html = frame!
    .replace('<style></style>', () => `<style>${style}</style>`)
    .replace('<script type="module"></script>', () => `<script type="module">${script}</script>`);
  const policy = [
    "default-src 'none'",
    ...[`script-src '${hashOf(script!)}'`, `style-src '${hashOf(style!)}'`, 'img-src data:', "connect-src 'self'"],
    ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
  ];
  return { html, contentSecurityPolicy: policy.join('; ') };
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

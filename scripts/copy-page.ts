// The status page is no TypeScript: it goes into the build as it is.
import { cpSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = 'src/extensions/monitoring-api/status-page';
const [from, to] = [`../${FOLDER}`, `../dist/${FOLDER}`].map((path) => fileURLToPath(new URL(path, import.meta.url)));
cpSync(from!, to!, { recursive: true });

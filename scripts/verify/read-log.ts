export { type ReadLogOptions, readLog } from '../../infra/bus/read-log.js';

/** The contract of storage on a real HDFS: a NameNode and three DataNodes. */
import t, { type Test } from 'tap';
import type { HdfsStorage } from '../../../../infra/storage/hdfs/hdfs-storage.js';
import { openHdfs } from '../../../../infra/storage/hdfs/open.js';
import { temporaryFolder } from '../../../servers.js';
import { jarsOrSkip, startTestHdfs } from '../../../stack.js';
import { storageContract } from '../storage.contract.js';

const jars = await jarsOrSkip(t);
if (jars !== undefined) {
  const hdfs = await startTestHdfs(t, { jars });
  let opened = 0;
  const open = async (t: Test): Promise<HdfsStorage> => {
    opened += 1;
    const storage = await openHdfs({
      storage: `${hdfs.url}/test ${opened}%2B?user=tidemark`.replace(' ', '%20'),
      data: temporaryFolder(t),
      copiesBytesMax: 2 ** 20,
    });
    t.teardown(() => storage.close());
    return storage;
  };
  storageContract(t, open, { filesAtOnce: 8 }); // none is held open
}

import { testNativeMatrix } from './native-matrix.js';

testNativeMatrix(4096);
if (process.env.ESEKIT_FULL !== undefined) testNativeMatrix(8192);

import { testNativeMatrix } from './native-matrix.js';

testNativeMatrix(16384);
if (process.env.ESEKIT_FULL !== undefined) testNativeMatrix(32768);

/* The part of TensorFlow Lite's C interface that the crate `tflitec` binds: types and declarations
 * only, no code. scripts/setup lays it out under the header names that tflitec asks for.
 *
 * Self-contained (no system header), so that bindgen reads it for any target without that target's
 * C library. Names, values and layouts are those of the TFLite C API, versions 2.9 to 2.21.
 */
#ifndef LATCHKEY_TFLITE_C_API_H
#define LATCHKEY_TFLITE_C_API_H

typedef __SIZE_TYPE__ size_t;
typedef __INT32_TYPE__ int32_t;
typedef __UINT32_TYPE__ uint32_t;

typedef enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1, kTfLiteDelegateError = 2 } TfLiteStatus;

typedef enum TfLiteType {
  kTfLiteNoType = 0, kTfLiteFloat32 = 1, kTfLiteInt32 = 2, kTfLiteUInt8 = 3, kTfLiteInt64 = 4,
  kTfLiteString = 5, kTfLiteBool = 6, kTfLiteInt16 = 7, kTfLiteComplex64 = 8, kTfLiteInt8 = 9,
  kTfLiteFloat16 = 10, kTfLiteFloat64 = 11, kTfLiteComplex128 = 12, kTfLiteUInt64 = 13,
  kTfLiteResource = 14, kTfLiteVariant = 15, kTfLiteUInt32 = 16, kTfLiteUInt16 = 17,
  kTfLiteInt4 = 18, kTfLiteBFloat16 = 19
} TfLiteType;

typedef struct TfLiteQuantizationParams { float scale; int32_t zero_point; } TfLiteQuantizationParams;

typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteTensor TfLiteTensor;
typedef struct TfLiteDelegate TfLiteDelegate;
typedef struct TfLiteSignatureRunner TfLiteSignatureRunner;

const char *TfLiteVersion(void);

TfLiteModel *TfLiteModelCreate(const void *data, size_t size);
TfLiteModel *TfLiteModelCreateFromFile(const char *path);
void TfLiteModelDelete(TfLiteModel *);

TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void);
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions *);
void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions *, int32_t threads);
void TfLiteInterpreterOptionsAddDelegate(TfLiteInterpreterOptions *, TfLiteDelegate *);

TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *, const TfLiteInterpreterOptions *);
void TfLiteInterpreterDelete(TfLiteInterpreter *);
int32_t TfLiteInterpreterGetInputTensorCount(const TfLiteInterpreter *);
TfLiteTensor *TfLiteInterpreterGetInputTensor(const TfLiteInterpreter *, int32_t index);
TfLiteStatus TfLiteInterpreterResizeInputTensor(TfLiteInterpreter *, int32_t index, const int *dims,
                                                int32_t rank);
TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter *);
TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter *);
int32_t TfLiteInterpreterGetOutputTensorCount(const TfLiteInterpreter *);
const TfLiteTensor *TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter *, int32_t index);
int32_t TfLiteInterpreterGetSignatureCount(const TfLiteInterpreter *);
const char *TfLiteInterpreterGetSignatureKey(const TfLiteInterpreter *, int32_t index);
TfLiteSignatureRunner *TfLiteInterpreterGetSignatureRunner(const TfLiteInterpreter *, const char *key);

TfLiteType TfLiteTensorType(const TfLiteTensor *);
int32_t TfLiteTensorNumDims(const TfLiteTensor *);
int32_t TfLiteTensorDim(const TfLiteTensor *, int32_t axis);
size_t TfLiteTensorByteSize(const TfLiteTensor *);
void *TfLiteTensorData(const TfLiteTensor *);
const char *TfLiteTensorName(const TfLiteTensor *);
TfLiteQuantizationParams TfLiteTensorQuantizationParams(const TfLiteTensor *);
TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor *, const void *data, size_t size);

size_t TfLiteSignatureRunnerGetInputCount(const TfLiteSignatureRunner *);
const char *TfLiteSignatureRunnerGetInputName(const TfLiteSignatureRunner *, int32_t index);
TfLiteStatus TfLiteSignatureRunnerResizeInputTensor(TfLiteSignatureRunner *, const char *name,
                                                    const int *dims, int32_t rank);
TfLiteStatus TfLiteSignatureRunnerAllocateTensors(TfLiteSignatureRunner *);
TfLiteTensor *TfLiteSignatureRunnerGetInputTensor(TfLiteSignatureRunner *, const char *name);
TfLiteStatus TfLiteSignatureRunnerInvoke(TfLiteSignatureRunner *);
size_t TfLiteSignatureRunnerGetOutputCount(const TfLiteSignatureRunner *);
const char *TfLiteSignatureRunnerGetOutputName(const TfLiteSignatureRunner *, int32_t index);
const TfLiteTensor *TfLiteSignatureRunnerGetOutputTensor(const TfLiteSignatureRunner *,
                                                         const char *name);
void TfLiteSignatureRunnerDelete(TfLiteSignatureRunner *);

/* Returned by value, so its size decides how it is returned. The x86_64 library is 2.9, where it has
 * just these three fields and comes back in registers. The aarch64 library is 2.21, where more follow
 * and it comes back through memory: `reserved` gives the callee room for all of them. */
typedef struct TfLiteXNNPackDelegateOptions {
  int32_t num_threads;
  uint32_t flags;
  void *weights_cache;
#if defined(__aarch64__)
  unsigned long reserved[30];
#endif
} TfLiteXNNPackDelegateOptions;

TfLiteXNNPackDelegateOptions TfLiteXNNPackDelegateOptionsDefault(void);
TfLiteDelegate *TfLiteXNNPackDelegateCreate(const TfLiteXNNPackDelegateOptions *);
void TfLiteXNNPackDelegateDelete(TfLiteDelegate *);

#endif

/* Preloaded into radosgw and radosgw-admin: writes the request of every object class call into a file of the folder RADOS_REQUESTS,
 * named <class>.<method>.<process>.<number>, and xattrs that stand for a moment only, as setxattr.pending. Stands before librados' C++ functions of Ceph 16.2, by their symbols. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXEC "_ZN8librados7v14_2_015ObjectOperation4execEPKcS3_RN4ceph6buffer7v15_2_04listE"
#define EXEC_COMPLETION EXEC "PNS0_25ObjectOperationCompletionE"
#define EXEC_REPLY "_ZN8librados7v14_2_015ObjectOperation4execEPKcS3_RN4ceph6buffer7v15_2_04listEPS7_Pi"
#define IOCTX_EXEC "_ZN8librados7v14_2_05IoCtx4execERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEPKcSB_RN4ceph6buffer7v15_2_04listESG_"
#define SETXATTR "_ZN8librados7v14_2_020ObjectWriteOperation8setxattrEPKcRKN4ceph6buffer7v15_2_04listE"
#define PENDING "user.rgw.olh.pending."
#define WRITE_FILE "_ZN4ceph6buffer7v15_2_04list10write_fileEPKci"

static void keep(const char *cls, const char *method, void *request)
{
	static int number;
	const char *folder = getenv("RADOS_REQUESTS");
	int (*write_file)(void *, const char *, int) = (int (*)(void *, const char *, int))dlsym(RTLD_DEFAULT, WRITE_FILE);
	char path[4096];

	if (!folder || !write_file)
		return;
	snprintf(path, sizeof path, "%s/%s.%s.%d.%d", folder, cls, method, (int)getpid(), __sync_add_and_fetch(&number, 1));
	write_file(request, path, 0644);
}

void exec(void *op, const char *cls, const char *method, void *request) __asm__(EXEC);
void exec(void *op, const char *cls, const char *method, void *request)
{
	keep(cls, method, request);
	((void (*)(void *, const char *, const char *, void *))dlsym(RTLD_NEXT, EXEC))(op, cls, method, request);
}

void exec_completion(void *op, const char *cls, const char *method, void *request, void *completion) __asm__(EXEC_COMPLETION);
void exec_completion(void *op, const char *cls, const char *method, void *request, void *completion)
{
	keep(cls, method, request);
	((void (*)(void *, const char *, const char *, void *, void *))dlsym(RTLD_NEXT, EXEC_COMPLETION))(op, cls, method, request, completion);
}

void exec_reply(void *op, const char *cls, const char *method, void *request, void *reply, int *result) __asm__(EXEC_REPLY);
void exec_reply(void *op, const char *cls, const char *method, void *request, void *reply, int *result)
{
	keep(cls, method, request);
	((void (*)(void *, const char *, const char *, void *, void *, int *))dlsym(RTLD_NEXT, EXEC_REPLY))(op, cls, method, request, reply, result);
}

int ioctx_exec(void *ioctx, const void *oid, const char *cls, const char *method, void *request, void *reply) __asm__(IOCTX_EXEC);
int ioctx_exec(void *ioctx, const void *oid, const char *cls, const char *method, void *request, void *reply)
{
	keep(cls, method, request);
	return ((int (*)(void *, const void *, const char *, const char *, void *, void *))dlsym(RTLD_NEXT, IOCTX_EXEC))(
		ioctx, oid, cls, method, request, reply);
}

void setxattr(void *op, const char *name, void *value) __asm__(SETXATTR);
void setxattr(void *op, const char *name, void *value)
{
	if (!strncmp(name, PENDING, sizeof PENDING - 1))
		keep("setxattr", "pending", value);
	((void (*)(void *, const char *, void *))dlsym(RTLD_NEXT, SETXATTR))(op, name, value);
}

from apscheduler.executors.pool import ProcessPoolExecutor, ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler(
    jobstores={"default": MemoryJobStore(), "second": {"type": "memory"}},
    executors={"default": ThreadPoolExecutor(20), "processpool": ProcessPoolExecutor(5)},
    job_defaults={"coalesce": False, "max_instances": 3},
    timezone="UTC",
)
scheduler.add_executor("threadpool", "threads", max_workers=2)
scheduler.add_jobstore("memory", "third")
scheduler.start(paused=True)
for store, executor in (("default", "default"), ("second", "threads"), ("third", "processpool")):
    job = scheduler.add_job(print, "interval", minutes=2, args=["x"], jobstore=store, executor=executor)
    print(job.coalesce, job.max_instances, job.executor, len(scheduler.get_jobs(store)))
scheduler.remove_jobstore("third")
scheduler.remove_executor("threads")
scheduler.shutdown()
